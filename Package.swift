// swift-tools-version: 6.0
// The layers of the library as data: a target may import what is listed for it and nothing else.
// `Tests/check_layers.py` (make check) compares every `import` in Sources with this table.
import PackageDescription

/// target name -> what it may import, lowest layer first
let layers: [(String, [String])] = [
    ("HadpoBase", ["CHadpoJSON", "CHadpoScan", "CHadpoMemory"]),
    ("HadpoTensor", ["HadpoBase", "CHadpoKernels"]),
    ("HadpoAutograd", ["HadpoBase", "HadpoTensor"]),
    ("HadpoNN", ["HadpoBase", "HadpoTensor", "HadpoAutograd"]),
    ("HadpoWeights", ["HadpoBase", "HadpoTensor"]),
    ("HadpoText", ["HadpoBase"]),
    ("HadpoVision", ["HadpoBase", "CHadpoImage"]),
    ("HadpoModels", ["HadpoBase", "HadpoTensor", "HadpoAutograd", "HadpoNN", "HadpoWeights", "HadpoText", "HadpoVision"]),
    (
        "HadpoTrain",
        ["HadpoBase", "HadpoTensor", "HadpoAutograd", "HadpoNN", "HadpoWeights", "HadpoText", "HadpoVision", "HadpoModels"]
    ),
    ("HadpoEval", ["HadpoBase", "HadpoTensor", "HadpoText", "HadpoVision", "HadpoModels"]),
    ("HadpoReport", ["HadpoBase", "HadpoVision", "HadpoEval"]),
    (
        "HadpoWorld",
        [
            "HadpoBase", "HadpoTensor", "HadpoAutograd", "HadpoNN", "HadpoWeights", "HadpoText", "HadpoVision", "HadpoModels",
            "HadpoTrain", "HadpoEval", "CHadpoWorldAssets",
        ]
    ),
    (
        "HadpoCAPI",
        [
            "CHadpo", "HadpoBase", "HadpoTensor", "HadpoWeights", "HadpoText", "HadpoVision", "HadpoModels", "HadpoTrain",
            "HadpoEval", "HadpoReport", "HadpoWorld",
        ]
    ),
]

let swiftSettings: [SwiftSetting] = [.enableUpcomingFeature("ExistentialAny"), .swiftLanguageMode(.v6)]

/// The program of `make fuzz` is in the package only when it is asked for: it needs libFuzzer and flags that nothing else has.
let fuzzing: [Target] =
    Context.environment["HADPO_FUZZ"] == nil
    ? []
    : [
        .target(name: "CHadpoFuzz", path: "Tests/Fuzz/Driver"),
        .executableTarget(
            name: "hadpo-fuzz",
            dependencies: ["CHadpo", "CHadpoFuzz"] + layers.map { .init(stringLiteral: $0.0) }, path: "Tests/Fuzz/Parsers",
            swiftSettings: [.enableUpcomingFeature("ExistentialAny"), .swiftLanguageMode(.v5)]),  // one thread, many globals
    ]

let package = Package(
    name: "hadpo",
    products: [
        .library(name: "Hadpo", targets: ["HadpoCAPI"]),  // for Swift packages
        .library(name: "hadpo", type: .dynamic, targets: ["HadpoCAPI"]),  // libhadpo.so, built by `make`
    ],
    targets: [
        .systemLibrary(name: "CHadpo", path: "include"),
        .systemLibrary(name: "CHadpoJSON", pkgConfig: "json-c", providers: [.apt(["libjson-c-dev"])]),
        .target(name: "CHadpoScan"),
        .target(name: "CHadpoMemory"),
        .target(name: "CHadpoKernels"),
        .target(
            name: "CHadpoImage", dependencies: ["CHadpoMemory"], linkerSettings: [.linkedLibrary("png"), .linkedLibrary("jpeg")]),
        .target(name: "CHadpoWorldAssets"),
        .target(name: "HadpoTestSupport", dependencies: ["HadpoBase"], path: "Tests/Support", swiftSettings: swiftSettings),
    ]
        + layers.map { name, imports in
            .target(name: name, dependencies: imports.map { .init(stringLiteral: $0) }, swiftSettings: swiftSettings)
        }
        + layers.dropLast().map { name, imports in
            .testTarget(
                name: name + "Tests", dependencies: ([name] + imports + ["HadpoTestSupport"]).map { .init(stringLiteral: $0) },
                swiftSettings: swiftSettings)
        } + [
            .testTarget(name: "HadpoCAPITests", dependencies: ["HadpoCAPI", "CHadpo"], swiftSettings: swiftSettings),
            .testTarget(name: "CHadpoKernelsTests", dependencies: ["CHadpoKernels"], swiftSettings: swiftSettings),
        ] + fuzzing
)
