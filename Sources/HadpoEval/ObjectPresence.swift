import HadpoBase

/// Which objects stand on which pictures, by number in the order of first sight, as Python's dicts remember them upstream.
struct ObjectPresence: Sendable {
    /// Each object stands beside each other one of its picture, so that a picture of n objects has n * (n - 1) pairs: a file with few
    /// long lists would take hours and give gigabytes. COCO's 80 categories have 6,320 different pairs; 500 pictures of Visual
    /// Genome stay below 500,000.
    static let pairLimit = 1 << 28
    static let differentPairLimit = 1 << 22

    let names: [String]
    let frequency: [Int]
    /// The objects of each picture.
    let scenes: [[Int]]
    /// The pictures of each object.
    fileprivate let places: [[Int]]

    init(_ objects: [[String]]) throws(HadpoError) {
        var numbers: [String: Int] = [:]
        var names: [String] = []
        var scenes: [[Int]] = []
        var pairs = 0
        for list in objects {
            scenes.append(
                list.map { name in
                    if let number = numbers[name] { return number }
                    numbers[name] = names.count
                    names.append(name)
                    return names.count - 1
                })
            let (product, overflow) = list.count.multipliedReportingOverflow(by: max(0, list.count - 1))
            guard !overflow, product <= Self.pairLimit - pairs else {
                throw Self.tooMany("more than \(Self.pairLimit) pairs of objects on one picture", Self.pairLimit)
            }
            pairs += product
        }
        var places = [[Int]](repeating: [], count: names.count)
        for (place, list) in scenes.enumerated() { for object in list { places[object].append(place) } }
        self.names = names
        self.scenes = scenes
        self.places = places
        frequency = places.map(\.count)
        guard pairs > Self.differentPairLimit else { return }
        var counter = Counter(self)
        var different = 0
        for object in names.indices {
            different += counter.companions(of: object).count
            guard different <= Self.differentPairLimit else {
                throw Self.tooMany("more than \(Self.differentPairLimit) different pairs of objects", Self.differentPairLimit)
            }
        }
    }

    private static func tooMany(_ found: String, _ limit: Int) -> HadpoError {
        HadpoError(
            .format, "too many objects stand together on pictures", found: found,
            expected: "at most \(limit): fewer pictures (images), or shorter lists of objects")
    }

    /// The most frequent first; equal ones in the order of first sight.
    var byFrequency: [Int] {
        names.indices.sorted { (-frequency[$0], $0) < (-frequency[$1], $1) }
    }

    /// Counts what stands beside one object at a time. All counts at once would be a table of all objects by all.
    struct Counter {
        private let presence: ObjectPresence
        private var counts: [Int]

        init(_ presence: ObjectPresence) {
            self.presence = presence
            counts = [Int](repeating: 0, count: presence.names.count)
        }

        /// The others on its pictures, most frequent first; equal ones in the order in which they were first seen beside it.
        mutating func companions(of object: Int) -> [Int] {
            var seen: [Int] = []
            for place in presence.places[object] {
                for other in presence.scenes[place] where other != object {
                    if counts[other] == 0 { seen.append(other) }
                    counts[other] += 1
                }
            }
            let ordered = seen.enumerated().sorted { a, b in
                (-counts[a.element], a.offset) < (-counts[b.element], b.offset)
            }.map(\.element)
            for other in seen { counts[other] = 0 }
            return ordered
        }
    }
}
