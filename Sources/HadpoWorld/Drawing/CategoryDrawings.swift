/// How each category looks. Numbers are percent of the object's square, (0, 0) at the upper left; later parts cover earlier ones.
extension Category {
    package var drawing: [Part] {
        switch theme {
        case .kitchen: kitchenDrawing
        case .street: streetDrawing
        case .beach: beachDrawing
        case .room: roomDrawing
        }
    }

    private var kitchenDrawing: [Part] {
        switch self {
        case .cup:
            [
                arc(.main, 70, 52, 28, 24, inner: 0.6, -95, 95),
                polygon(.main, [4, 24, 74, 24, 66, 92, 60, 97, 18, 97, 12, 92]),
                ellipse(.shade, 39, 24, 35, 10), ellipse(.wood, 39, 25, 28, 6),
            ]
        case .plate:
            [
                ellipse(.shade, 50, 57, 50, 36), ellipse(.main, 50, 52, 50, 36),
                ellipse(.tint, 50, 51, 33, 22), ellipse(.main, 50, 53, 30, 19),
            ]
        case .fork:
            [
                rectangle(.main, 22, 2, 34, 40), rectangle(.main, 44, 2, 56, 40), rectangle(.main, 66, 2, 78, 40),
                polygon(.main, [22, 34, 78, 34, 78, 46, 60, 60, 40, 60, 22, 46]),
                polygon(.shade, [44, 56, 56, 56, 59, 98, 41, 98]),
            ]
        case .bottle:
            [
                polygon(.main, [39, 8, 61, 8, 61, 30, 76, 46, 76, 96, 72, 100, 28, 100, 24, 96, 24, 46, 39, 30]),
                rectangle(.ink, 37, 0, 63, 10), rectangle(.white, 24, 58, 76, 82), rectangle(.shade, 24, 68, 76, 73),
            ]
        case .apple:
            [
                ellipse(.main, 34, 62, 32, 36), ellipse(.main, 66, 62, 32, 36), polygon(.wood, [45, 6, 53, 4, 53, 34, 47, 34]),
                ellipse(.leaf, 68, 15, 17, 9), ellipse(.tint, 24, 52, 8, 12),
            ]
        default:  // pan, with a fried egg
            [
                polygon(.ink, [54, 36, 64, 46, 100, 12, 88, 0]), circle(.main, 38, 62, 38), circle(.shade, 38, 62, 29),
                ellipse(.white, 37, 63, 20, 17), circle(.glow, 40, 61, 8),
            ]
        }
    }

    private var streetDrawing: [Part] {
        switch self {
        case .car:
            [
                polygon(.main, [0, 54, 6, 48, 20, 45, 34, 20, 70, 20, 84, 45, 96, 50, 100, 56, 100, 76, 0, 76]),
                polygon(.glass, [30, 45, 39, 27, 50, 27, 50, 45]), polygon(.glass, [55, 27, 67, 27, 76, 45, 55, 45]),
                circle(.ink, 24, 76, 14), circle(.steel, 24, 76, 6), circle(.ink, 76, 76, 14), circle(.steel, 76, 76, 6),
            ]
        case .bus:
            [
                polygon(.main, [0, 16, 4, 11, 96, 11, 100, 16, 100, 82, 0, 82]),
                rectangle(.glass, 6, 21, 24, 46), rectangle(.glass, 29, 21, 47, 46), rectangle(.glass, 52, 21, 70, 46),
                rectangle(.glass, 76, 21, 94, 76), rectangle(.shade, 0, 57, 72, 65),
                circle(.ink, 20, 83, 12), circle(.ink, 62, 83, 12),
            ]
        case .house:
            [
                rectangle(.shade, 70, 8, 82, 40), rectangle(.main, 10, 46, 90, 100), polygon(.shade, [-2, 50, 50, 2, 102, 50]),
                rectangle(.white, 20, 60, 42, 80), rectangle(.wood, 56, 62, 78, 100),
            ]
        case .tree:
            [
                rectangle(.wood, 42, 62, 58, 100), circle(.shade, 26, 52, 24), circle(.shade, 74, 52, 24),
                ellipse(.main, 50, 36, 34, 35), ellipse(.tint, 40, 22, 12, 8),
            ]
        case .lantern:
            [
                rectangle(.ink, 45, 50, 55, 96), rectangle(.ink, 30, 92, 70, 100), polygon(.main, [18, 16, 50, 0, 82, 16]),
                polygon(.main, [24, 16, 76, 16, 66, 58, 34, 58]), polygon(.glow, [34, 22, 66, 22, 59, 51, 41, 51]),
            ]
        default:  // bench
            [
                rectangle(.ink, 12, 20, 20, 94), rectangle(.ink, 80, 20, 88, 94),
                rectangle(.main, 2, 20, 98, 32), rectangle(.main, 2, 37, 98, 49), rectangle(.shade, 0, 58, 100, 70),
            ]
        }
    }

    private var beachDrawing: [Part] {
        switch self {
        case .boat:
            [
                rectangle(.wood, 46, 2, 51, 70), polygon(.tint, [54, 6, 54, 62, 94, 62]),
                polygon(.shade, [43, 18, 43, 62, 12, 62]), polygon(.main, [0, 68, 100, 68, 84, 96, 16, 96]),
            ]
        case .umbrella:
            [
                rectangle(.ink, 47, 0, 53, 88), arc(.ink, 58, 87, 11, 11, inner: 0.5, 0, 180),
                arc(.main, 50, 52, 50, 46, inner: 0, 180, 360),
                arc(.tint, 50, 52, 19, 46, inner: 0, 180, 360),
            ]
        case .ball:
            [
                circle(.main, 50, 50, 49), arc(.white, 50, 50, 45, 45, inner: 0, -30, 30),
                arc(.white, 50, 50, 45, 45, inner: 0, 90, 150),
                arc(.white, 50, 50, 45, 45, inner: 0, 210, 270), circle(.main, 50, 50, 11),
            ]
        case .kite:
            [
                polygon(.main, [54, 0, 92, 34, 54, 76, 16, 34]), polygon(.tint, [54, 0, 92, 34, 54, 34]),
                polygon(.shade, [16, 34, 54, 34, 54, 76]),
                polygon(.ink, [52, 76, 56, 76, 44, 90, 24, 92, 10, 100, 10, 95, 24, 87, 42, 86]),
                polygon(.main, [22, 80, 36, 96, 36, 80, 22, 96]),
            ]
        case .fish:
            [
                polygon(.shade, [66, 50, 100, 22, 93, 50, 100, 78]), polygon(.shade, [30, 30, 62, 32, 62, 10]),
                ellipse(.main, 40, 52, 40, 29), arc(.tint, 26, 52, 22, 26, inner: 0.8, -50, 50), circle(.white, 19, 45, 8),
                circle(.ink, 18, 45, 4),
            ]
        default:  // star
            [
                starShape(.shade, 50, 54, outer: 54, inner: 25), starShape(.main, 50, 52, outer: 46, inner: 19),
                circle(.tint, 50, 53, 9),
            ]
        }
    }

    private var roomDrawing: [Part] {
        switch self {
        case .lamp:
            [
                arc(.glow, 50, 50, 18, 16, inner: 0, 0, 180), rectangle(.steel, 45, 56, 55, 90),
                polygon(.main, [28, 4, 72, 4, 98, 54, 2, 54]), polygon(.tint, [44, 4, 56, 4, 62, 54, 38, 54]),
                polygon(.ink, [34, 88, 66, 88, 76, 98, 24, 98]),
            ]
        case .chair:
            [
                rectangle(.wood, 16, 60, 25, 100), rectangle(.wood, 76, 60, 85, 100), rectangle(.wood, 14, 2, 20, 60),
                polygon(.main, [16, 2, 32, 2, 36, 54, 18, 54]), polygon(.main, [14, 52, 88, 52, 92, 58, 90, 68, 14, 68]),
            ]
        case .bed:
            [
                rectangle(.wood, 0, 22, 9, 92), rectangle(.wood, 92, 46, 100, 92), rectangle(.wood, 0, 70, 100, 82),
                rectangle(.white, 9, 54, 92, 71), polygon(.steel, [10, 45, 14, 41, 30, 41, 34, 45, 34, 55, 10, 55]),
                polygon(.main, [38, 50, 44, 45, 94, 45, 94, 74, 38, 74]),
            ]
        case .clock:
            [
                circle(.main, 50, 50, 50), circle(.white, 50, 50, 36), polygon(.ink, [46, 22, 54, 22, 54, 54, 46, 54]),
                polygon(.ink, [48, 46, 76, 62, 72, 69, 46, 54]),
            ]
        case .book:
            [
                polygon(.main, [12, 6, 18, 0, 88, 0, 88, 86, 12, 98]), rectangle(.white, 18, 86, 86, 96),
                rectangle(.shade, 12, 4, 26, 98), rectangle(.main, 20, 96, 88, 100), rectangle(.glow, 38, 18, 76, 28),
                rectangle(.glow, 38, 36, 66, 43),
            ]
        default:  // window
            [
                rectangle(.main, 8, 0, 92, 94), rectangle(.glass, 18, 10, 45, 45), rectangle(.glass, 55, 10, 82, 45),
                rectangle(.glass, 18, 54, 45, 86), rectangle(.glass, 55, 54, 82, 86), rectangle(.shade, 0, 90, 100, 100),
            ]
        }
    }
}
