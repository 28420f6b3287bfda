/// How the two compared runs are called on the page.
struct Names {
    let run: String
    let baseline: String
    /// Whether anything on the page is a comparison.
    let isPair: Bool

    func name(_ role: Role) -> String { role == .before ? baseline : run }
    var legend: [(name: String, role: Role)] { isPair ? [(baseline, .before), (run, .after)] : [] }
}

/// What each named outcome means, for people. Nothing leaves a denominator without one of these.
enum OutcomeText {
    static func meaning(_ name: String) -> String { meanings[name] ?? "" }

    private static let meanings = [
        // POPE
        "scored": "counted in the figures",
        "missing_answer": "a question without an answer; not in the figures",
        "question_id_shared": "an id that several questions carry; their answers are taken in the order of the file",
        "answered_twice": "an id answered more often than asked; the first answers count",
        "unknown_question": "an answer to a question that is not in the file; not counted",
        "answer_without_id": "an answer that cannot be matched, because it has no id; not counted",
        "surplus_answer": "an answer behind the last question; not counted",
        "other_question": "an answer that names another question's text; not counted, its question is missing",
        "other_split": "an answer of another of POPE's sets in the same file; counted with that set's questions",
        "unparsed": "an answer that does not begin with yes or no, in any language; counted as the rule reads it",
        "ambiguous": "an answer whose beginning says the opposite of what the rule reads; counted as the rule reads it",
        // SHR
        "judged": "every sentence has its verdict",
        "no_description": "an image of the evaluation that was not described",
        "empty_description": "a description without a sentence",
        "no_regions": "an image that the region file does not describe: there is nothing to judge by",
        "no_reply": "the judge did not answer",
        "not_requested": "the judge was never asked",
        "foreign_reply": "a reply without a single word of a verdict: in another language, or no answer",
        "count_mismatch": "a reply with more or fewer lines than sentences: which is whose cannot be told",
        "unread_verdicts": "a reply with a verdict that is none of the three",
        "no_judgement": "a reply without its heading, whose lines cannot be told apart",
        "only_draft": "a reply that is nothing but what the judge thought before it would have answered",
        "failed": "the request failed at the judge",
        "truncated": "the judge's reply was cut off",
        "filtered": "the judge's content filter stopped the reply",
        "refused": "the judge gave no text",
        "stale": "a reply to another prompt than the one that now stands",
        "image_listed_twice": "an image that the evaluation lists twice; it counts once",
        "described_twice": "an image described twice; the first description counts",
        "judged_twice": "a description judged twice; the first verdict counts",
        "not_in_the_evaluation": "a description of an image that is not evaluated",
        "reply_to_an_unknown_image": "a verdict on an image that is not evaluated",
        // sentences
        "hallucination": "says something that is not in the picture",
        "correct": "borne out",
        "cannot judge": "counted as not hallucinated, as upstream counts it",
        "unrecognised": "a verdict that is none of the three; not in the ratio, but in its bounds",
        "unjudged": "no verdict; not in the ratio, but in its bounds",
        // CHAIR
        "image_without_annotations": "a caption of an image that no annotation names; not scored",
        "captioned_twice": "an image captioned twice; the first caption counts",
        "empty_caption": "a caption without words; scored, as the original scores it",
    ]
}
