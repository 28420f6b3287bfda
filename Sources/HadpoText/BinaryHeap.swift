/// A priority queue whose first element to leave is the smallest. Ties are for `Element` to break.
struct BinaryHeap<Element: Comparable> {
    private var elements: [Element] = []

    mutating func push(_ element: Element) {
        elements.append(element)
        var child = elements.count &- 1
        while child > 0 {
            let parent = (child &- 1) / 2
            guard elements[child] < elements[parent] else { break }
            elements.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> Element? {
        guard let last = elements.popLast() else { return nil }
        guard !elements.isEmpty else { return last }
        let top = elements[0]
        elements[0] = last
        var parent = 0
        while true {
            var child = 2 &* parent &+ 1
            guard child < elements.count else { break }
            if child &+ 1 < elements.count, elements[child &+ 1] < elements[child] { child &+= 1 }
            guard elements[child] < elements[parent] else { break }
            elements.swapAt(child, parent)
            parent = child
        }
        return top
    }
}
