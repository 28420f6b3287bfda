import Glibc

/// Direct preference optimization (Rafailov et al. 2023, eq. 7) on summed sequence log-probabilities, as HA-DPO uses it:
///
///     logits = (policy(chosen) - policy(rejected)) - (reference(chosen) - reference(rejected))
///     loss   = -log sigmoid(beta * logits)
///
/// No label smoothing, no length normalisation.
package struct DPOLoss: Sendable, Equatable {
    package let loss: Double
    /// beta * (policy - reference), in nats.
    package let chosenReward: Double
    package let rejectedReward: Double
    /// d loss / d policy(chosen); the derivative to policy(rejected) is its negative.
    package let gradient: Double

    package init(
        beta: Double, policyChosen: Double, policyRejected: Double, referenceChosen: Double, referenceRejected: Double
    ) {
        let scaled = beta * ((policyChosen - policyRejected) - (referenceChosen - referenceRejected))
        // -log sigmoid(z) = log(1 + exp(-z)), written so that neither branch overflows.
        loss = scaled >= 0 ? log1p(exp(-scaled)) : -scaled + log1p(exp(scaled))
        gradient = -beta * (scaled >= 0 ? exp(-scaled) / (1 + exp(-scaled)) : 1 / (1 + exp(scaled)))
        chosenReward = beta * (policyChosen - referenceChosen)
        rejectedReward = beta * (policyRejected - referenceRejected)
    }

    package var margin: Double { chosenReward - rejectedReward }
    /// Strictly greater: a tie does not count (upstream's rewards/accuracies).
    package var isOrdered: Bool { chosenReward > rejectedReward }
}
