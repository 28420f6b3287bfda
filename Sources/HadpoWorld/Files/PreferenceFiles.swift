import HadpoBase

/// Preference pairs in the two files of HA-DPO's LLaVA-1.5 data set.
package enum PreferenceFiles {
    package struct Description: Sendable, Equatable {
        package var imageID: Int
        package var chosen: String
        package var rejected: String
        package init(imageID: Int, chosen: String, rejected: String) {
            self.imageID = imageID
            self.chosen = chosen
            self.rejected = rejected
        }
    }

    /// A question with the answer the model gave. Upstream's reader skips those it answered right.
    package struct Answer: Sendable, Equatable {
        package var imageID: Int
        package var question: WorldQuestion
        package var modelAnswer: String
        package init(imageID: Int, question: WorldQuestion, modelAnswer: String) {
            self.imageID = imageID
            self.question = question
            self.modelAnswer = modelAnswer
        }
    }

    /// `desc_data.json`: an object keyed by Visual Genome's image_id. A second description of an image joins the first one's lists.
    package static func descriptions(_ descriptions: [Description]) -> JSON {
        var order: [Int] = []
        var byImage: [Int: [Description]] = [:]
        for description in descriptions {
            if byImage[description.imageID] == nil { order.append(description.imageID) }
            byImage[description.imageID, default: []].append(description)
        }
        return .object(
            order.map { id in
                let pairs = byImage[id] ?? []
                return JSON.Member(
                    String(id), ["chosen": JSON(pairs.map(\.chosen)), "rejected": JSON(pairs.map(\.rejected))])
            })
    }

    /// `pope_data.json`.
    package static func questions(_ answers: [Answer]) -> JSON {
        .array(
            answers.map { answer in
                [
                    "image_id": .string(String(answer.imageID)), "question": .string(answer.question.text),
                    "chosen": .string(answer.question.rightAnswer), "reject": .string(answer.question.wrongAnswer),
                    "answer": answer.question.present ? "yes" : "no",
                    "correct": JSON(answer.question.isAnsweredRight(by: answer.modelAnswer)),
                ]
            })
    }
}
