import HadpoBase
import HadpoVision

/// Files written by Tests/Fixtures/make_images.py.
enum Fixture {
    static let folder = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/images")

    static func bytes(_ name: String) throws(HadpoError) -> [UInt8] { try File.read(File.join(folder, name)) }

    static func expected(_ list: String) throws(HadpoError) -> [JSON] {
        try File.readJSON(File.join(folder, "expected.json"))[list]?.arrayValue ?? []
    }

    static var imageNames: [String] {
        get throws(HadpoError) { try expected("decode").compactMap { $0["name"]?.stringValue } }
    }

    /// [width, height]
    static func size(_ value: JSON?) throws(HadpoError) -> (width: Int, height: Int) {
        guard let width = value?[0]?.intValue, let height = value?[1]?.intValue else {
            throw HadpoError(.json, "expected.json lacks a size")
        }
        return (width, height)
    }

    /// The picture that make_images.py calls pattern(width, height).
    static func pattern(_ width: Int, _ height: Int) throws(HadpoError) -> RGBImage {
        let pixels = (0..<UInt64(width * height * 3)).map { i in UInt8(truncatingIfNeeded: (i &* i &* 31 &+ i &* 7) >> 3) }
        return try image(pixels, width, height)
    }

    static func image(_ pixels: [UInt8], _ width: Int, _ height: Int) throws(HadpoError) -> RGBImage {
        try pixels.withUnsafeBufferPointer { buffer in
            Result { () throws(HadpoError) in
                guard let base = buffer.baseAddress, buffer.count >= width * height * 3 else {
                    throw HadpoError(.argument, "too few pixels in a test")
                }
                return try RGBImage(rgb8: base, width: width, height: height, rowBytes: width * 3)
            }
        }.get()
    }
}

/// The checksum of PNG chunks and of zlib.crc32.
func crc32(_ bytes: some Sequence<UInt8>) -> Int {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes { crc = crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ (crc >> 8) }
    return Int(crc ^ 0xFFFF_FFFF)
}

private let crcTable: [UInt32] = (0..<256).map { n in
    (0..<8).reduce(UInt32(n)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
}

func crc32(_ values: [Float]) -> Int { values.withUnsafeBytes { crc32($0) } }

func failure(_ body: () throws -> Void) -> HadpoError? {
    do { try body() } catch { return error as? HadpoError }
    return nil
}
