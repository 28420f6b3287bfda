import CHadpoJSON

/// One atomic word, safe to set from another thread and from a signal handler.
package final class Flag: @unchecked Sendable {
    private let word: UnsafeMutablePointer<Int32>

    package init() {
        word = .allocate(capacity: 1)
        word.initialize(to: 0)
    }

    deinit { word.deallocate() }

    package func set() { hadpo_flag_store(word, 1) }
    package func clear() { hadpo_flag_store(word, 0) }
    package var isSet: Bool { hadpo_flag_load(word) != 0 }
    /// Sets the flag and tells whether it was set before: a lock that never waits.
    package func testAndSet() -> Bool { hadpo_flag_exchange(word, 1) != 0 }
    /// Clears the flag and tells whether it was set.
    package func take() -> Bool { hadpo_flag_exchange(word, 0) != 0 }
}
