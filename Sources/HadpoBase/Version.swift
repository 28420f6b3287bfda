/// Of this library, as `hadpo_version` answers and as stands beside what it made.
package enum Library {
    package static let versionText: StaticString = "0.1.0"
    package static var version: String { versionText.description }
}
