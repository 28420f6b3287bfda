import HadpoBase

/// Whether a file is a picture that can be read, asked before long work that needs it. Folders of downloads hold empty files, files cut
/// in the middle, web pages and pointers of git-lfs under the names of pictures.
package enum PictureCheck {
    private static let pngSignature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    private static let pngEnd: [UInt8] = [0, 0, 0, 0, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82]

    /// Why a file cannot be read as a picture; nil when nothing speaks against it.
    /// - Parameter decoding: decode it whole. Otherwise a file that begins and ends as its format does is believed, and only another one
    ///   is decoded, as some writers leave something behind the end.
    package static func reason(
        _ path: String, decoding: Bool, limits: ImageLimits = .init(), budget: (any MemoryBudget)?
    ) throws(HadpoError) -> String? {
        do throws(HadpoError) {
            if !decoding, try isWhole(path, limits) { return nil }
            _ = try RGBImage.read(path, budget: budget, limits: limits)
            return nil
        } catch {
            if error.status == .noMemory { throw error }
            return error.message + (error.found.map { " (\($0))" } ?? "")
        }
    }

    /// By its first and last bytes.
    private static func isWhole(_ path: String, _ limits: ImageLimits) throws(HadpoError) -> Bool {
        let (first, last) = try File.ends(path, first: 33, last: 12)
        if first.starts(with: pngSignature) {
            guard first.count == 33, last == pngEnd, first[12..<16].elementsEqual("IHDR".utf8) else { return false }
            func number(_ at: Int) -> Int { first[at..<at + 4].reduce(0) { $0 << 8 | Int($1) } }
            let (width, height) = (number(16), number(20))
            return width > 0 && height > 0 && width.multipliedReportingOverflow(by: height).partialValue <= limits.maxPixels
        }
        return first.starts(with: [0xFF, 0xD8, 0xFF]) && last.suffix(2) == [0xFF, 0xD9]
    }
}
