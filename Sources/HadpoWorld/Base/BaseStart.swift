import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoWeights

/// What the world's models with EVA begin with, as the real ones do: a language model that exists, and a tower that exists.
enum BaseStart {
    /// The decoder of the world's LLaVA, which looks at pictures already; the vocabularies share the words, so their embeddings go by text.
    static func takeLanguageModel(_ base: BaseModel, progress: any Progress) throws(HadpoError) {
        let device = base.model.device
        let layout = WorldCheckpoint()
        let checkpoint = try languageModel(arena: device.arena)
        let names = LLaVANames.table(checkpoint)
        var places: [String: Int] = [:]
        for (id, piece) in layout.tokenizer.pieces.enumerated() { places[piece.text] = id }
        for (name, value) in base.parameters where base.model.part(of: name) == .decoder {
            let stored = try device.float32(try checkpoint.tensor(LLaVANames.spell(name, names)))
            guard name.hasPrefix(LLaVANames.head) || name.hasPrefix(LLaVANames.decoder + ".embed_tokens") else {
                guard stored.shape == value.shape else {
                    throw HadpoError(.internal, "the world's language models differ", at: name)
                }
                try device.copy(stored, into: value.data)
                continue
            }
            for (id, piece) in base.pieces.enumerated() {
                if let place = places[piece] {
                    try device.copy(stored.rows(place..<place + 1), into: value.data.rows(id..<id + 1))
                }
            }
        }
    }

    /// The weights of the world's LLaVA.
    static func languageModel(arena: Arena) throws(HadpoError) -> Checkpoint {
        try carried(WorldMake.embeddedStorage(.llava)[0], "the world's LLaVA", arena)
    }

    /// The tower of the world's MiniGPT-4.
    static func tower(arena: Arena) throws(HadpoError) -> Checkpoint {
        try carried(WorldMake.embeddedStorage(.minigpt4)[1], "the world's EVA", arena)
    }

    private static func carried(_ storage: Storage, _ name: String, _ arena: Arena) throws(HadpoError) -> Checkpoint {
        try Checkpoint(name, file: WeightFile.open(ByteFile(memory: storage, path: name, arena: arena)))
    }

    /// The tower out of an `eva_vit_g.pth`.
    static func takeTower(_ base: BaseModel, from file: Checkpoint) throws(HadpoError) {
        let device = base.model.device
        let config = try EVAFiles.config(file, imageSize: 0)
        let source = CheckpointParameters(device: device) { EVAFiles.place($0, file, config) }
        for (name, value) in base.parameters where base.isVision(name) && !name.hasPrefix(EVAFiles.norm) {
            let found = value.shape.count == 1 ? try source.vector(name, value.shape[0]) : try source.matrix(name, value.shape)
            try device.copy(try device.float32(found.data), into: value.data)
        }
    }
}
