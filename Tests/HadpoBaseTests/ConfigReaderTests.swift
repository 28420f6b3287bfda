import HadpoBase
import Testing

private enum Order: String, CaseIterable { case file, shuffled }

private struct Optimizer {
    let rate: Double
    let betas: [Double]
    init(_ r: inout ConfigReader) throws(HadpoError) {
        rate = try r.double("learning_rate", default: 2e-6, in: 0...1, help: "step size")
        betas = try r.doubles("betas", default: [0.9, 0.999])
    }
}

private struct Cache {
    let path: String
    init(_ r: inout ConfigReader) throws(HadpoError) { path = try r.string("path", help: "folder") }
}

private struct Train {
    let data: String
    let steps: Int
    let order: Order
    let flag: Bool
    let limit: Int?
    let name: String?
    let optimizer: Optimizer
    let cache: Cache?
    let parts: [Cache]

    init(_ r: inout ConfigReader) throws(HadpoError) {
        data = try r.string("data", help: "pairs")
        steps = try r.int("steps", default: 0, in: 0...1_000_000_000, help: "optimizer steps")
        order = try r.choice("order", default: .file)
        flag = try r.bool("flag", default: true)
        limit = try r.optionalInt("limit", in: 1...10)
        name = try r.optionalString("name")
        optimizer = try r.object("optimizer", Optimizer.init)
        cache = try r.optionalObject("cache", Cache.init)
        parts = try r.objects("parts") { r throws(HadpoError) in try Cache(&r) }
        try r.check(steps != 13, "steps", "thirteen is unlucky")
    }
}

@Suite struct ConfigReading {
    private func read(_ text: String) throws(HadpoError) -> (config: Train, resolved: JSON) {
        try ConfigReader.parse(text, schema: "hadpo.train/1", Train.init)
    }

    private func refusal(_ members: String) -> HadpoError? {
        do throws(HadpoError) {
            _ = try read(#"{"schema": "hadpo.train/1", \#(members)}"#)
            return nil
        } catch { return error }
    }

    @Test("one pass gives the struct and every key with its value") func resolved() throws {
        let (config, resolved) = try read(
            #"{"schema": "hadpo.train/1", "optimizer": {"betas": [0.5, 1]}, "data": "d", "order": "shuffled", "cache": {"path": "c"}}"#
        )
        #expect(config.order == .shuffled)
        #expect(config.optimizer.betas == [0.5, 1])
        #expect(config.limit == nil)
        #expect(config.cache?.path == "c")
        #expect(config.flag && config.steps == 0 && config.parts.isEmpty && config.name == nil)
        let text =
            #"{"schema": "hadpo.train/1", "data": "d", "steps": 0, "order": "shuffled", "flag": true, "limit": null, "name": null, "#
            + #""optimizer": {"learning_rate": 2e-06, "betas": [0.5, 1]}, "cache": {"path": "c"}, "parts": []}"#
        #expect(resolved.text() == text)
        #expect(try read(text).resolved == resolved)
    }

    @Test("the description holds defaults and fields without a configuration") func description() throws {
        let (defaults, fields) = try ConfigReader.describe("hadpo.train/1", Train.init)
        #expect(defaults["data"] == JSON.null)
        #expect(defaults["optimizer"]?["learning_rate"] == 2e-6)
        #expect(defaults["cache"] == JSON.null)
        #expect(fields.map(\.pointer).contains("/cache/path"))
        #expect(fields.map(\.pointer).contains("/parts/0/path"))
        let rate = fields.first { $0.pointer == "/optimizer/learning_rate" }
        #expect(rate?.defaultValue == 2e-6 && rate?.allowed == "0.0...1.0" && rate?.help == "step size" && rate?.type == "number")
        #expect(fields.first { $0.pointer == "/data" }?.defaultValue == nil)
    }

    @Test("an unknown key names its pointer and the nearest known key") func unknown() {
        let error = refusal(#""data": "d", "optimizer": {"lerning_rate": 1}"#)
        #expect(error?.status == .config)
        #expect(error?.place == "/optimizer/lerning_rate")
        #expect(error?.expected == "a known key, the nearest is 'learning_rate'")
        #expect(refusal(#""dta": "d""#)?.expected == "a known key, the nearest is 'data'")
        #expect(refusal(#""data": "d", "a/b": 1"#)?.place == "/a~1b")
    }

    @Test("mistyped, missing, out of range and misnamed values say what was found and expected") func wrong() {
        #expect(refusal(#""steps": 1"#)?.message == "a required key is missing")
        #expect(refusal(#""data": 5"#)?.found == "an integer 5")
        #expect(refusal(#""data": "d", "steps": 1.5"#)?.expected == "an integer")
        #expect(refusal(#""data": "d", "steps": -1"#)?.expected == "0...1000000000")
        #expect(refusal(#""data": "d", "steps": 13"#)?.place == "/steps")
        #expect(refusal(#""data": "d", "steps": null"#)?.found == "null")
        #expect(refusal(#""data": "d", "limit": 11"#)?.place == "/limit")
        #expect(refusal(#""data": "d", "order": "files""#)?.expected == "one of file, shuffled")
        #expect(refusal(#""data": "d", "optimizer": []"#)?.place == "/optimizer")
        #expect(refusal(#""data": "d", "optimizer": {"betas": [1, "x"]}"#)?.place == "/optimizer/betas/1")
        #expect(refusal(#""data": "d", "parts": [{"path": "x"}, {}]"#)?.place == "/parts/1/path")
        #expect(refusal(#""data": "d", "cache": {}"#)?.place == "/cache/path")
    }

    @Test("another schema, no schema and no object are refused") func schema() {
        for text in [#"{"schema": "hadpo.train/2", "data": "d"}"#, #"{"data": "d"}"#, "[]", #"{"schema": 1}"#] {
            let error = #expect(throws: HadpoError.self) {
                try ConfigReader.parse(text, schema: "hadpo.train/1", Train.init)
            }
            #expect(error?.status == .config)
        }
    }
}
