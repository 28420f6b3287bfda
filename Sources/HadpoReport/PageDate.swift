import Glibc
import HadpoBase

/// The day a page is made on, in UTC: SOURCE_DATE_EPOCH where the environment has it, so that a page can be made again to the byte.
enum PageDate {
    private static let variable = "SOURCE_DATE_EPOCH"

    static func today() throws(HadpoError) -> String {
        guard let given = getenv(variable) else { return day(time(nil)) }
        let text = String(cString: given)
        guard let seconds = Int(text), (0...253_402_300_799).contains(seconds) else {
            throw HadpoError(
                .config, "not a moment", at: "the environment's \(variable)", found: "'\(text.shortened(to: 40))'",
                expected: "seconds since 1970 as a number, or no such variable")
        }
        return day(time_t(seconds))
    }

    private static func day(_ moment: time_t) -> String {
        var moment = moment
        var parts = tm()
        gmtime_r(&moment, &parts)
        func padded(_ number: Int32, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
    }
}
