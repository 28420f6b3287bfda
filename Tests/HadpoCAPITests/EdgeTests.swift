import CHadpo
import HadpoCAPI
import Testing

/// The C interface called from Swift through the imported header.
@Suite struct EdgeTests {
    private func text(_ bytes: OpaquePointer?) -> String { String(cString: hadpo_bytes_data(bytes)) }

    @Test("versions and status names are static and pinned")
    func names() {
        #expect(hadpo_abi() == UInt32(HADPO_ABI))
        #expect(String(cString: hadpo_version()) == "0.1.0")
        #expect(String(cString: hadpo_status_name(32)) == "HADPO_E_WEIGHTS")
        #expect(String(cString: hadpo_status_name(12345)) == "HADPO_E_UNKNOWN")
    }

    @Test("every schema prints its defaults, and they resolve to themselves")
    func defaults() {
        for schema in [
            "hadpo.engine/1", "hadpo.model/1", "hadpo.generate/1", "hadpo.score/1", "hadpo.inspect/1", "hadpo.export/1",
            "hadpo.train/1",
            "hadpo.pope/1", "hadpo.world/1", "hadpo.world-pairs/1", "hadpo.world-base/1",
        ] {
            var json: OpaquePointer?
            var error: OpaquePointer?
            #expect(hadpo_config_default(schema, &json, &error) == 0, "\(schema)")
            #expect(text(json).contains("\"schema\": \"\(schema)\""))
            #expect(hadpo_bytes_size(json) == text(json).utf8.count)
            hadpo_bytes_free(json)
        }
        var engine: OpaquePointer?
        var again: OpaquePointer?
        #expect(hadpo_config_default("hadpo.engine/1", &engine, nil) == 0)
        #expect(hadpo_config_resolve(hadpo_bytes_data(engine), hadpo_bytes_size(engine), &again, nil) == 0)
        #expect(text(engine) == text(again))
        hadpo_bytes_free(engine)
        hadpo_bytes_free(again)
    }

    @Test("an unknown key is named with its place and the nearest known one")
    func unknownKey() {
        var engine: OpaquePointer?
        var error: OpaquePointer?
        let config = #"{"schema":"hadpo.engine/1","treads":2}"#
        #expect(hadpo_engine_open(config, -1, nil, nil, &engine, &error) == 21)
        #expect(engine == nil)
        let json = String(cString: hadpo_error_json(error))
        #expect(json.contains("/treads") && json.contains("threads"), "\(json)")
        hadpo_error_free(error)
    }

    /// What a callback of `reentry` saw when it called the library again.
    private final class Seen {
        var engine: OpaquePointer?
        var statuses: [Int32] = []
    }

    @Test("a call from inside an event callback is refused, and the callback can stop the call")
    func reentry() {
        let seen = Seen()
        let config = #"{"schema":"hadpo.engine/1","threads":1}"#
        let user = Unmanaged.passUnretained(seen).toOpaque()
        let onEvent: hadpo_event_fn = { _, _, user in
            guard let user else { return 0 }
            let seen = Unmanaged<Seen>.fromOpaque(user).takeUnretainedValue()
            seen.statuses.append(
                hadpo_world_make(seen.engine, #"{"schema":"hadpo.world/1","output":"/nonexistent/x"}"#, -1, nil, nil))
            return 7
        }
        #expect(hadpo_engine_open(config, config.utf8.count, onEvent, user, &seen.engine, nil) == 0)
        let folder = "/dev/shm/hadpo-edge-\(UInt32.random(in: 0...UInt32.max))"
        let world = "{\"schema\":\"hadpo.world/1\",\"output\":\"\(folder)\",\"evaluation_images\":8,\"training_images\":8}"
        #expect(hadpo_world_make(seen.engine, world, -1, nil, nil) == 61)
        #expect(seen.statuses == [12])
        // An interrupt set between two calls stops the next one, and only that one.
        hadpo_engine_interrupt(seen.engine)
        #expect(hadpo_world_make(seen.engine, world, -1, nil, nil) == 60)
        hadpo_engine_free(seen.engine)
    }
}
