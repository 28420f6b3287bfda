// swift-tools-version: 6.0
// Programs in a package of their own that depends on libhadpo's, here by path.
import PackageDescription

let package = Package(
    name: "examples",
    dependencies: [.package(name: "hadpo", path: "../../..")],
    targets: [
        .target(name: "Calls", dependencies: [.product(name: "Hadpo", package: "hadpo")]),
        .executableTarget(name: "ask", dependencies: ["Calls"]),
        .executableTarget(name: "measure", dependencies: ["Calls"]),
    ]
)
