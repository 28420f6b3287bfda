import Glibc
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoWeights
import Testing

@Suite struct ScoringTests {
    static func request<T>(
        _ subject: Subject, _ schema: String, completion: JSON = nil, _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws -> T {
        try ConfigReader.read(
            [
                "schema": .string(schema), "question": .string(subject.text("question")),
                "template": .string(subject.text("template")), "completion": completion,
            ], schema: schema, body
        ).config
    }

    // Both sides compute in fp32 and differ in the order of sums.
    @Test("log-probabilities of a completion equal transformers'", arguments: layouts)
    func score(_ name: String) throws {
        let subject = try Subject(name)
        let config = try ScoringTests.request(
            subject, "hadpo.score/1", completion: .string(subject.text("completion")), ScoringConfig.init)
        let found = try Scoring.run(model: subject.model, request: config, image: subject.image, progress: SilentProgress())
        let wanted = try subject.expected.floats("logps")
        #expect(found.count == wanted.count)
        for (found, wanted) in zip(found, wanted) { #expect(abs(found - wanted) < 1e-4) }
    }

    @Test("a completion that the template would swallow is refused, and so is one that is too long")
    func refusals() throws {
        let subject = try Subject("old-f32")
        for completion in ["a </s> b", String(repeating: "cat dog ", count: 400)] {
            let config = try ScoringTests.request(
                subject, "hadpo.score/1", completion: .string(completion), ScoringConfig.init)
            #expect(throws: HadpoError.self) {
                try Scoring.run(model: subject.model, request: config, image: subject.image, progress: SilentProgress())
            }
        }
    }

    @Test("an inspection's file holds every tensor that transformers shows, under the same names", arguments: layouts)
    func inspect(_ name: String) throws {
        let subject = try Subject(name)
        let path = File.join(fixtures, "\(name)-inspected-\(getpid()).safetensors")
        defer { try? File.remove(path) }
        let config = try ScoringTests.request(
            subject, "hadpo.inspect/1", completion: .string(subject.text("completion")), InspectionConfig.init)
        try Inspection.run(
            model: subject.model, request: config, image: subject.image, path: path, progress: SilentProgress())
        let file = try Checkpoint.open(path, load: .map, arena: subject.device.arena, progress: SilentProgress())
        for key in subject.expected.tensors.names where !["input_ids", "greedy_ids"].contains(key) && !key.hasPrefix("beam5") {
            let wanted = try subject.expected.tensors.tensor(key)
            guard file.contains(key) else {
                // Vision blocks behind the selected layer do not reach the result and are not computed.
                #expect(key.hasPrefix("vision.block."), "\(key) is missing")
                continue
            }
            let found = try file.tensor(key)
            #expect(found.shape == wanted.shape, "\(key)")
            if key.hasSuffix("_ids") {
                #expect(bytes(found) == bytes(wanted), "\(key)")
            } else {
                let difference = try relative(found.floats(), wanted.floats())
                #expect(difference < 1e-4, "\(key): \(difference)")
            }
        }
    }

    private func bytes(_ tensor: Tensor) -> [UInt8] {
        withExtendedLifetime(tensor.storage) { Array(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount)) }
    }
}
