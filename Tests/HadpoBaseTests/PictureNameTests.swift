import HadpoBase
import Testing

@Suite struct PictureNames {
    static let seven = [
        "7", "007", "000000000007", "000000000007.jpg", "7.png", "7.JPEG", "COCO_val2014_000000000007.jpg",
        "val2014/COCO_val2014_000000000007.jpg", "/data/coco/val2014/COCO_val2014_000000000007.jpg", "val2017/000000000007.jpg",
        "train2017/000000000007.jpg", "val2014\\COCO_val2014_000000000007.jpg", "images/000000000007.jpg",
        "https://images.cocodataset.org/val2017/000000000007.jpg",
    ]

    @Test("every spelling of a picture's number finds every other", arguments: seven)
    func spellings(_ name: String) throws {
        for other in Self.seven where !(name.contains("2017") && other.contains("2017") && name != other) {
            var index = PictureIndex("a")
            try index.add(other)
            try index.add("8")
            #expect(try index.place(name, in: "b") == 0, "\(name) in \(other)")
            #expect(PictureName(name).isSame(as: PictureName(other)), "\(name) and \(other)")
        }
        #expect(try PictureIndex("a").place(name, in: "b") == nil)
    }

    @Test(
        "names that are no numbers are themselves",
        arguments: ["", "cat.jpg", "cat_7.jpg", "7.5", "7a.png", "COCO_val2014_x.jpg", "-7", "٧", "7.tar", ".jpg"])
    func others(_ name: String) throws {
        #expect(PictureName(name).number == nil && PictureName(name).key == name)
        var index = PictureIndex("a")
        try index.add(name)
        #expect(try index.place("7", in: "b") == nil)
        #expect(try index.place(name, in: "b") == 0)
    }

    @Test("no number is beyond what a number holds") func large() {
        #expect(PictureName("999999999999999999.jpg").number == 999_999_999_999_999_999)
        #expect(PictureName("9999999999999999999.jpg").number == nil)
        #expect(PictureName(String(repeating: "0", count: 100) + "7").number == nil)
    }

    @Test(
        "one number in two sets of one year is an error, in one file and between two",
        arguments: [
            ("COCO_val2014_000000000007.jpg", "COCO_train2014_000000000007.jpg"), ("val2014/000000000007.jpg", "train2014/7.jpg"),
            ("val2017/000000000007.jpg", "train2017/000000000007.jpg"), ("VG_100K/7.jpg", "VG_100K_2/7.jpg"),
        ]) func sets(_ a: String, _ b: String) throws
    {
        var index = PictureIndex("a.json")
        try index.add(a)
        let within = #expect(throws: HadpoError.self) { try index.add(b) }
        #expect(within?.found == "'\(a)' and '\(b)'" && within?.place == "a.json")
        let between = #expect(throws: HadpoError.self) { try index.place(b, in: "b.json") }
        #expect(between?.place == "b.json")
        #expect(!PictureName(a).isSame(as: PictureName(b)))
    }

    @Test("folders may number their own pictures, but a bare number then has two meanings") func folders() throws {
        var index = PictureIndex("a.json")
        #expect(try index.add("scenes/7.png") == 0)
        #expect(try index.add("rooms/7.png") == 1)
        #expect(try index.place("rooms/7.png", in: "b.json") == 1)
        let error = #expect(throws: HadpoError.self) { try index.place("7", in: "b.json") }
        #expect(error?.message == "a picture's name has two meanings")
        #expect(try index.add("scenes/7.png") == 0 && index.count == 2)
    }
}
