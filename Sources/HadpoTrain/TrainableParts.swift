import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoWeights

/// Makes the parts of a model trainable that a configuration names, and lists them in a fixed order.
package struct TrainableParts {
    package private(set) var parameters: [TrainableParameter] = []
    /// The decoder's adapters by place.
    package private(set) var adapters: [(target: AdapterTarget, lora: LoRA)] = []
    /// The trainable projector, empty when it stays as it is.
    package private(set) var projector: [Linear] = []

    /// - Parameter start: adapters to start from, by name; those absent start as PEFT's do: A uniform, B zero.
    package init(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, _ config: TrainConfig, start: [AdapterTarget: AdapterPair]
    )
        throws(HadpoError)
    {
        let device = model.device
        if config.allWeights || config.visionTower {
            var parts: Set<ModelPart> = []
            if config.visionTower { parts.insert(.vision) }
            if config.allWeights { parts.insert(.decoder) }
            let source = folder.parameters(device: device) { parts.contains(model.part(of: $0)) }
            try model.replace(parts, from: source)
            for (name, value) in source.trainable { parameters.append(try TrainableParameter(name, value, device: device)) }
        } else if config.lora.rank > 0 {
            try addAdapters(model, config, start)
        }
        if config.projector {
            // A training before this one may have left its own on the model, and the reference has the checkpoint's.
            if config.lora.initial == nil { model.replaceProjector(nil) }
            for layer in model.projector {
                let weight = try TrainableParts.master(layer.weight, device)
                var bias: Value?
                if let old = layer.bias { bias = try TrainableParts.master(old, device) }
                projector.append(Linear(name: layer.name, weight: weight, bias: bias))
                parameters.append(try TrainableParameter(layer.name + ".weight", weight, device: device))
                if let bias { parameters.append(try TrainableParameter(layer.name + ".bias", bias, device: device)) }
            }
            model.replaceProjector(projector)
        }
        guard !parameters.isEmpty else {
            throw HadpoError(
                .config, "nothing is trained", at: "/lora/rank", expected: "adapters, projector, vision_tower or all_weights")
        }
    }

    private mutating func addAdapters(
        _ model: any VisionLanguageModel, _ config: TrainConfig, _ start: [AdapterTarget: AdapterPair]
    )
        throws(HadpoError)
    {
        let device = model.device
        let rank = config.lora.rank
        for (i, (target, linear)) in model.adaptable.enumerated() {
            linear.adapter = nil
            guard config.lora.target.contains(where: { target.projection.hasSuffix("." + $0) }) else { continue }
            let a: Tensor
            let b: Tensor
            if let given = start[target] {
                guard given.a.shape == [rank, linear.inputs], given.b.shape == [linear.outputs, rank] else {
                    throw HadpoError(
                        .weights, "the adapter to start from has another shape", at: target.name,
                        found: "A \(given.a.shape), B \(given.b.shape)",
                        expected: "A \([rank, linear.inputs]), B \([linear.outputs, rank])")
                }
                a = try TrainableParts.copy(given.a, device)
                b = try TrainableParts.copy(given.b, device)
            } else {
                // kaiming_uniform with a = sqrt(5): uniform in +-1/sqrt(inputs).
                var random = Philox(seed: UInt64(config.seed), stream: 1 << 32 + UInt64(i))
                let bound = 1 / Double(linear.inputs).squareRoot()
                a = try device.tensor(
                    (0..<rank * linear.inputs).map { _ in Float((2 * random.uniform() - 1) * bound) }, [rank, linear.inputs])
                b = try device.zeros([linear.outputs, rank])
            }
            let lora = LoRA(
                a: Value(a, needsGradient: true), b: Value(b, needsGradient: true),
                scaling: Float(config.lora.alpha / Double(rank)))
            linear.adapter = lora
            adapters.append((target, lora))
            parameters.append(try TrainableParameter(target.name + ".lora_A", lora.a, device: device))
            parameters.append(try TrainableParameter(target.name + ".lora_B", lora.b, device: device))
        }
    }

    private static func master(_ value: Value, _ device: Device) throws(HadpoError) -> Value {
        Value(try copy(value.data, device), needsGradient: true)
    }

    /// An fp32 copy of its own.
    private static func copy(_ tensor: Tensor, _ device: Device) throws(HadpoError) -> Tensor {
        let copy = try device.allocate(tensor.shape)
        try device.convert(tensor, into: copy)
        return copy
    }
}
