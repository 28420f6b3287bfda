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
        var model: OpaquePointer?
        var statuses: [Int32] = []
    }

    @Test("a call from inside an event callback is refused, the callback and an interrupt stop the call")
    func reentry() {
        let fixtures =
            #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
            + "/Fixtures/llava"
        let seen = Seen()
        let onEvent: hadpo_event_fn = { _, _, user in
            guard let user else { return 0 }
            let seen = Unmanaged<Seen>.fromOpaque(user).takeUnretainedValue()
            seen.statuses.append(hadpo_model_describe(seen.model, nil, nil))
            var bytes: OpaquePointer?
            seen.statuses.append(hadpo_model_describe(seen.model, &bytes, nil))
            return seen.statuses.count == 2 ? 7 : 0
        }
        var engine: OpaquePointer?, trainer: OpaquePointer?
        let user = Unmanaged.passUnretained(seen).toOpaque()
        #expect(hadpo_engine_open(#"{"schema":"hadpo.engine/1","threads":1}"#, -1, onEvent, user, &engine, nil) == 0)
        #expect(
            hadpo_model_open(engine, "{\"schema\":\"hadpo.model/1\",\"path\":\"\(fixtures)/old-f32\"}", -1, &seen.model, nil) == 0
        )
        let config = """
            {"schema": "hadpo.train/1", "steps": 3, "batch": 1, "lora": {"rank": 2},
             "data": {"format": "pairs", "pairs": "\(fixtures)/dpo/pairs.jsonl", "images": "\(fixtures)/pictures"}}
            """
        #expect(hadpo_trainer_open(seen.model, config, -1, &trainer, nil) == 0)
        var report: OpaquePointer?
        #expect(hadpo_trainer_run(trainer, 0, &report, nil) == 61)
        // Without a place for the result that is the first thing wrong; with one the engine is busy.
        #expect(seen.statuses == [10, 12])
        // Freed in another order than made: the trainer holds its model, the model its engine.
        hadpo_engine_interrupt(engine)
        hadpo_engine_free(engine)
        hadpo_model_free(seen.model)
        seen.model = nil
        #expect(hadpo_trainer_run(trainer, 0, &report, nil) == 60)
        hadpo_trainer_free(trainer)
    }
}
