import HadpoBase

/// One part of the page.
struct Section {
    let id: String
    let title: String
    /// In the contents; the title where it is short already.
    var short: String?
    let body: HTML
}

/// A figure of the summary at the top.
struct Glance {
    let what: String
    let value: HTML
    let unit: String
    /// What it is for the baseline.
    let was: HTML?
    var wasName = ""
}

/// The whole page: one file, no script, nothing loaded. The policy in its head forbids every request, so that even markup that got
/// through could not make one.
struct Document {
    let title: String
    let lede: HTML
    let glances: [Glance]
    let sections: [Section]

    var html: HTML {
        let contents = sections.map { section -> HTML in
            "<li><a href=\"#\(section.id)\">\(section.short ?? section.title)</a></li>"
        }
        let summary: HTML =
            glances.isEmpty
            ? ""
            : """
            <ul class="glance" aria-label="At a glance">\(glances.map(\.html))</ul>

            """
        let body = sections.map { section -> HTML in
            """
            <section id="\(section.id)" aria-labelledby="\(section.id)-title"><div class="wrap">
            <h2 id="\(section.id)-title">\(section.title)</h2>
            \(section.body)
            </div></section>

            """
        }
        return """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="referrer" content="no-referrer">
            <meta name="generator" content="libhadpo">
            <title>\(title)</title>
            <link rel="icon" href="data:,">
            <style>
            \(HTML(raw: stylesheet))
            </style>
            </head>
            <body>
            <a class="skip" href="#main">To the figures</a>
            <header><div class="wrap">
            <h1>\(title)</h1>
            <p class="lede">\(lede)</p>
            <nav aria-label="Contents"><ul>\(contents)</ul></nav>
            \(summary)</div></header>
            <main id="main">
            \(body)</main>
            <footer><div class="wrap"><p>Written by libhadpo. Every figure carries, in the page's source, its exact value and the place \
            in the results that the call returned. This file loads nothing and can be mailed, archived and printed as it is.</p></div></footer>
            </body>
            </html>

            """
    }
}

extension Glance {
    fileprivate var html: HTML {
        let before: HTML = was.map { "<span class=\"was\">\(wasName): \($0)</span>" } ?? ""
        return "<li><span class=\"what\">\(what)</span><span class=\"value\">\(value)<small>\(unit)</small></span>\(before)</li>"
    }
}

/// A table that scrolls by itself where it is wider than the screen.
enum Table {
    static func html(_ caption: HTML, head: [HTML], rows: [HTML], isWide: Bool = true, textColumns: Int = 1) -> HTML {
        let columns = head.enumerated().map { index, title -> HTML in
            index < textColumns ? "<th scope=\"col\" class=\"text\">\(title)</th>" : "<th scope=\"col\">\(title)</th>"
        }
        return """
            <div class="scroll" role="region" tabindex="0" aria-label="table"><table\(isWide ? HTML(raw: " class=\"wide\"") : "")>
            <caption><span>\(caption)</span></caption>
            <thead><tr>\(columns)</tr></thead>
            <tbody>
            \(rows)</tbody></table></div>

            """
    }

    static func row(_ head: HTML, _ cells: [HTML], class name: String = "") -> HTML {
        let kind: HTML = name.isEmpty ? "" : " class=\"\(name)\""
        let body = cells.map { cell -> HTML in "<td>\(cell)</td>" }
        return "<tr\(kind)><th scope=\"row\">\(head)</th>\(body)</tr>\n"
    }

    static func group(_ title: HTML, columns: Int) -> HTML {
        "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"\(columns)\">\(title)</th></tr>\n"
    }
}
