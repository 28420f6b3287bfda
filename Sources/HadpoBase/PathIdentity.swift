import Glibc

extension File {
    /// Where the path leads, with all links followed as far as it is there: paths that lead to one place, made or not, are one text.
    package static func resolved(_ path: String) -> String {
        var place = path.isEmpty ? "." : path
        var rest: [String] = []
        // Of folders that are not there, what ".." takes back.
        var climbs = 0
        // Links to what is not there yet, of which there may be a ring.
        var links = 0
        while true {
            while place.utf8.count > 1, place.utf8.last == UInt8(ascii: "/") { place.removeLast() }
            if let found = realpath(place, nil) {
                defer { free(found) }
                return rest.reversed().reduce(String(cString: found)) { join($0, $1) }
            }
            let parent = folder(of: place)
            if links < 40, let target = link(place) {
                links += 1
                place = join(parent, target)
                continue
            }
            if parent == place { return rest.reversed().reduce(place) { join($0, $1) } }
            switch name(of: place) {
            case ".": break
            case "..": climbs += 1
            case let name: if climbs > 0 { climbs -= 1 } else { rest.append(name) }
            }
            place = parent
        }
    }

    private static func link(_ path: String) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink(path, start, buffer.count)
            return count > 0 ? String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self) : nil
        }
    }

    /// Whether both paths lead to one file, there or yet to be made. Pipes and devices are anybody's.
    package static func isSame(_ a: String, _ b: String) -> Bool {
        if exists(a), !isFile(a), !isDirectory(a) { return false }
        if let a = identity(a), let b = identity(b) { return a == b }
        return resolved(a) == resolved(b)
    }
}
