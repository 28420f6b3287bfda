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

    /// - Parameter start: the adapter to start from, which is put on; nil starts as PEFT does, A uniform and B zero, on the checkpoint's
    ///   own projector, whatever a training before this one left on the model.
    package init(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, _ config: TrainConfig, start: LoadedAdapter?
    )
        throws(HadpoError)
    {
        if let start { model.putOn(start) } else { model.unloadAdapter() }
        if config.reference == .start { model.referenceProjector = model.projector }
        let device = model.device
        if config.allWeights || config.visionTower {
            var parts: Set<ModelPart> = []
            if config.visionTower { parts.insert(.vision) }
            if config.allWeights { parts.insert(.decoder) }
            let source = folder.parameters(device: device) { parts.contains(model.part(of: $0)) }
            try model.replace(parts, from: source)
            for (name, value) in source.trainable { parameters.append(try TrainableParameter(name, value, device: device)) }
        } else if start != nil {
            try takeAdapters(model, keepsStart: config.reference == .start)
        } else if config.lora.rank > 0 {
            try addAdapters(model, config)
        }
        if config.projector {
            for layer in model.projector {
                let weight = try TrainableParts.master(layer.weight, device)
                var bias: Value?
                if let old = layer.bias { bias = try TrainableParts.master(old, device) }
                let trained = Linear(name: layer.name, weight: weight, bias: bias)
                trained.adapter = layer.adapter
                projector.append(trained)
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
        _ model: any VisionLanguageModel, _ config: TrainConfig
    ) throws(HadpoError) {
        let device = model.device
        let rank = config.lora.rank
        for (i, (target, linear)) in model.adaptable.enumerated() {
            guard config.lora.target.contains(where: { target.projection.hasSuffix("." + $0) }) else { continue }
            // kaiming_uniform with a = sqrt(5): uniform in +-1/sqrt(inputs).
            var random = Philox(seed: UInt64(config.seed), stream: 1 << 32 + UInt64(i))
            let bound = 1 / Double(linear.inputs).squareRoot()
            let a = try device.tensor(
                (0..<rank * linear.inputs).map { _ in Float((2 * random.uniform() - 1) * bound) }, [rank, linear.inputs])
            let b = try device.zeros([linear.outputs, rank])
            let lora = LoRA(
                a: Value(a, needsGradient: true), b: Value(b, needsGradient: true),
                scaling: Float(config.lora.alpha / Double(rank)))
            try add(lora, target, linear, device)
        }
    }

    /// The decoder's pairs of the adapter that is on the model. Those before the decoder stay as they are.
    /// - Parameter keepsStart: the reference goes through the pairs as they are now.
    private mutating func takeAdapters(_ model: any VisionLanguageModel, keepsStart: Bool) throws(HadpoError) {
        let device = model.device
        for (target, linear) in model.adaptable {
            guard let start = linear.adapter else { continue }
            let (a, b) = (try TrainableParts.master(start.a, device), try TrainableParts.master(start.b, device))
            try add(LoRA(a: a, b: b, scaling: start.scaling), target, linear, device)
            if keepsStart { linear.startAdapter = start }
        }
    }

    private mutating func add(_ lora: LoRA, _ target: AdapterTarget, _ linear: Linear, _ device: Device) throws(HadpoError) {
        linear.adapter = lora
        adapters.append((target, lora))
        parameters.append(try TrainableParameter(target.name + ".lora_A", lora.a, device: device))
        parameters.append(try TrainableParameter(target.name + ".lora_B", lora.b, device: device))
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
