import HadpoBase

/// Measures a model as it stands. A training asks one between its steps, so that what lies above the trainer can watch it.
package protocol ModelGauge: AnyObject {
    /// What `measure` gives, in its order.
    var figures: [String] { get }
    /// nil: not defined this time, such as a precision without a single "yes".
    func measure(progress: any Progress) throws(HadpoError) -> [Double?]
}
