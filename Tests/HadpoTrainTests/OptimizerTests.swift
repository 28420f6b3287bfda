import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTrain
import Testing

private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")

private func goldens(_ key: String) throws -> [JSON] {
    try #require(try File.readJSON(File.join(fixtures, "optimizer.json"))[key]?.arrayValue)
}

extension JSON {
    fileprivate func doubles(_ key: String) throws -> [Double] {
        try #require(self[key]?.arrayValue).map { try #require($0.doubleValue) }
    }
    fileprivate var numbers: [Double] { get throws { try #require(arrayValue).map { try #require($0.doubleValue) } } }
}

/// Against transformers' schedules and PyTorch's AdamW (Tests/Fixtures/make_optimizer.py).
@Suite struct OptimizerTests {
    @Test("every step's factor of cosine, linear and constant schedules is transformers', with and without warm-up")
    func schedules() throws {
        let cases = try goldens("schedules")
        #expect(cases.count == 12)
        for each in cases {
            let kind = try #require(LearningRateSchedule.Kind(rawValue: each["kind"]?.stringValue ?? ""))
            let steps = try #require(each["steps"]?.intValue)
            let warmup = try #require(each["warmup"]?.intValue)
            let schedule = LearningRateSchedule(kind, warmupSteps: warmup, totalSteps: steps)
            for (step, factor) in try each.doubles("factors").enumerated() {
                // The same formula in double precision; the cosines may differ in their last place.
                #expect(abs(schedule.factor(step) - factor) < 1e-15, "\(kind) warm-up \(warmup) step \(step)")
            }
        }
    }

    @Test("clipping, weight decay and four steps of AdamW give PyTorch's numbers", arguments: 0..<5)
    func adamW(_ index: Int) throws {
        let golden = try #require(try goldens("adamw")[index])
        let device = try Device(threads: 1, numerics: .exact)
        let shapes = [[2, 3], [3]]
        let values = try #require(golden["values"]?.arrayValue).map { try $0.numbers.map(Float.init) }
        var parameters: [TrainableParameter] = []
        for (number, (shape, numbers)) in zip(shapes, values).enumerated() {
            parameters.append(
                try TrainableParameter(
                    "p\(number)", Value(try device.tensor(numbers, shape), needsGradient: true), device: device))
        }
        var settings = OptimizerSettings(learningRate: 1)
        settings.beta2 = 0.95
        settings.weightDecay = try #require(golden["weight_decay"]?.doubleValue)
        settings.maxGradNorm = try #require(golden["max_grad_norm"]?.doubleValue)
        let optimizer = Optimizer(parameters, settings, device: device)
        let gradients = try #require(golden["gradients"]?.arrayValue)
        let after = try #require(golden["after"]?.arrayValue)
        for (step, rate) in try golden.doubles("rates").enumerated() {
            for (parameter, numbers) in zip(parameters, try #require(gradients[step].arrayValue)) {
                try parameter.value.receive(
                    try device.tensor(try numbers.numbers.map(Float.init), parameter.value.shape), owned: true, on: device)
            }
            let norm = try optimizer.step(learningRate: rate)
            // Sums of nine squares of fp32 numbers, in fp32 there and in double here.
            #expect(abs(norm - (try golden.doubles("norms")[step])) < 1e-5)
            for (parameter, numbers) in zip(parameters, try #require(after[step].arrayValue)) {
                for (found, expected) in zip(try parameter.value.data.floats(), try numbers.numbers) {
                    // A step moves a number by at most its rate, in fp32 on both sides: a few units in the last place of 1.
                    #expect(abs(Double(found) - expected) < 1e-6, "step \(step) of \(parameter.name)")
                }
                #expect(parameter.value.gradient == nil)
            }
        }
    }

    @Test("a gradient that is not finite stops the step, and nothing has moved") func notFinite() throws {
        let device = try Device(threads: 1, numerics: .exact)
        let parameter = try TrainableParameter("p", Value(try device.tensor([1, 2], [2]), needsGradient: true), device: device)
        let optimizer = Optimizer([parameter], OptimizerSettings(learningRate: 1), device: device)
        try parameter.value.receive(try device.tensor([1, .infinity], [2]), owned: true, on: device)
        do throws(HadpoError) {
            try optimizer.step(learningRate: 1)
            Issue.record("a step was taken")
        } catch { #expect(error.status == .numerics) }
        #expect(try parameter.value.data.floats() == [1, 2] && optimizer.t == 0)
    }
}
