import HadpoBase
import HadpoTensor
import HadpoWeights
import Testing

/// One test for each way an archive can be wrong.
@Suite struct MalformedZipTests {
    let pickle = Pickle.file(Pickle.dictionary([("a", Pickle.tensor(Pickle.storage(count: 2), [2], strides: [1]))]))
    let floats8: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]

    func archive(_ pickleLies: ZipBuilder.Lies = .init(), _ dataLies: ZipBuilder.Lies = .init()) -> ZipBuilder {
        var zip = ZipBuilder()
        zip.add("r/data.pkl", pickle, pickleLies)
        zip.add("r/data/0", floats8, dataLies)
        return zip
    }

    func read(_ bytes: [UInt8]) throws -> [UInt8] {
        let file = try WeightFile.open(memoryFile(bytes))
        return tensorBytes(try file.tensor(try #require(file.tensors.first)))
    }

    @Test("An archive, one with a comment, and one with ZIP64 records are read")
    func sound() throws {
        #expect(try read(archive().finished()) == floats8)
        #expect(try read(archive().finished(comment: "a comment with PK\u{5}\u{6} in it")) == floats8)
        #expect(try read(archive().finishedWide()) == floats8)
        let wide = ZipBuilder.Lies(
            size: .max, packedSize: .max,
            extra: [9, 0, 1, 0, 7] + [1, 0, 16, 0] + littleEndian(UInt64(8)) + littleEndian(UInt64(8)))
        #expect(try read(archive(.init(), wide).finished()) == floats8)
    }

    @Test("An archive without its directory is refused")
    func cutOff() { expectFailure(Array(archive().finished().dropLast(1)), "directory at the end is missing") }

    @Test("A directory outside the file is refused")
    func directoryOutside() {
        expectFailure(archive().finished(offset: 0x7FFF_FFFF), "outside the file")
        expectFailure(archive().finished(size: 0x7FFF_FFFF), "outside the file")
        expectFailure(archive().finished(offset: 0), "damaged")
    }

    @Test("A directory of more or fewer entries than it says is refused")
    func wrongCount() {
        expectFailure(archive().finished(count: 60000), "claims 60000 entries")
        expectFailure(archive().finished(count: 3), "claims 3 entries")
        expectFailure(archive().finished(count: 1), "more than its entries")
    }

    @Test("ZIP64 records that are missing, damaged or outside the file are refused")
    func badWide() {
        expectFailure(archive().finished(count: .max), "locator is missing")
        expectFailure(archive().finishedWide(recordOffset: 0), "record is damaged")
        expectFailure(archive().finishedWide(recordOffset: 1 << 62), "shorter than")
        expectFailure(archive().finishedWide(recordOffset: .max), "locator is missing")
        expectFailure(archive(.init(), .init(size: .max, packedSize: .max)).finished(), "lacks its ZIP64 field")
        let short = ZipBuilder.Lies(size: .max, packedSize: .max, extra: [1, 0, 8, 0] + littleEndian(UInt64(8)))
        expectFailure(archive(.init(), short).finished(), "damaged ZIP64 field")
        let huge = ZipBuilder.Lies(
            size: .max, packedSize: .max, extra: [1, 0, 16, 0] + littleEndian(UInt64.max) + littleEndian(UInt64.max))
        expectFailure(archive(.init(), huge).finished(), "damaged ZIP64 field")
    }

    @Test("An entry outside the file or reaching into the directory is refused")
    func entryOutside() {
        expectFailure(archive(.init(), .init(offset: 0x7FFF_FFFF)).finished(), "outside the file")
        expectFailure(archive(.init(), .init(size: 0x7FFF_FFFF)).finished(), "outside the file")
        expectFailure(archive(.init(), .init(size: 9)).finished(), "outside the file")
    }

    @Test("Entries that overlap are refused, so that one block cannot be counted many times")
    func overlap() {
        expectFailure(archive(.init(), .init(offset: 0)).finished(), "overlap")
        expectFailure(archive(.init(size: UInt32(pickle.count + 1))).finished(), "overlap")
    }

    @Test("An entry that does not begin with a local header is refused")
    func noLocalHeader() { expectFailure(archive(.init(), .init(offset: 1)).finished(), "no local header") }

    @Test("Compressed and encrypted entries are refused with the reason")
    func packed() {
        expectFailure(archive(.init(), .init(method: 8)).finished(), "is compressed", .unsupported)
        expectFailure(archive(.init(), .init(flags: 1)).finished(), "encrypted")
        expectFailure(archive(.init(), .init(packedSize: 7)).finished(), "two sizes")
    }

    @Test("Two entries of one name are refused")
    func duplicate() {
        var zip = archive()
        zip.add("r/data/0", floats8)
        expectFailure(zip.finished(), "two entries")
    }

    @Test("An entry's name that is not UTF-8 is refused")
    func badName() {
        var bytes = archive().finished()
        for index in bytes.indices.dropLast(2) where Array(bytes[index..<index + 3]) == Array("r/d".utf8) { bytes[index] = 0xFF }
        expectFailure(bytes, "not UTF-8")
    }

    @Test("An archive of something else is refused")
    func otherArchive() {
        var zip = ZipBuilder()
        zip.add("word/document.xml", [1])
        expectFailure(zip.finished(), "not one that torch.save wrote")
        expectFailure(ZipBuilder().finished(), "not one that torch.save wrote")
    }

    @Test("A file of a big-endian machine is refused")
    func byteOrder() {
        var zip = archive()
        zip.add("r/byteorder", Array("big".utf8))
        expectFailure(zip.finished(), "big-endian", .unsupported)
    }
}
