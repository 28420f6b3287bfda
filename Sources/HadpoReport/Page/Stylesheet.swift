/// The page's only style. Two schemes, phone width and print; text contrast is 4.5:1 or more in both schemes, and no meaning rests on
/// colour alone: before is a ring and a dashed line, hallucinations carry a cross, a wavy line and a word.
let stylesheet = """
    :root{color-scheme:light dark;--paper:#fbfaf7;--card:#ffffff;--ink:#1d1b19;--soft:#5f5a54;--hair:#e4e0d8;--strong:#bdb6ab;\
    --before:#9a5313;--after:#0a6870;--bad:#a62319;--bad-wash:#fbe9e5;--open:#6b5a00;--open-wash:#f6efd2;--good:#2c6a35}
    @media (prefers-color-scheme:dark){:root{--paper:#161513;--card:#1f1d1b;--ink:#ece8e1;--soft:#aaa49b;--hair:#35322e;\
    --strong:#5d5850;--before:#e3a466;--after:#62c4ca;--bad:#ff9a8b;--bad-wash:#3d211d;--open:#dcc66a;--open-wash:#37301a;--good:#8cc997}}
    *{box-sizing:border-box}
    html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
    body{margin:0;background:var(--paper);color:var(--ink);\
    font:15px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Liberation Sans",Arial,sans-serif;\
    font-variant-numeric:tabular-nums}
    .wrap{max-width:72rem;margin:0 auto;padding:0 1.5rem}
    h1,h2{font-family:Charter,"Bitstream Charter","Iowan Old Style","Palatino Linotype",Palatino,Georgia,"Noto Serif","Liberation Serif",serif;\
    font-weight:600;line-height:1.2;text-wrap:balance}
    h1{font-size:2.1rem;margin:0;letter-spacing:-.01em}
    h2{font-size:1.5rem;margin:0 0 .4rem}
    h3{font-size:1rem;margin:2rem 0 .6rem;font-weight:600}
    p{margin:.4rem 0;max-width:44rem}
    .lede,.note,figcaption .chart-note{color:var(--soft)}
    .note{font-size:.87rem}
    a{color:var(--after);text-underline-offset:.15em}
    a:focus-visible,.scroll:focus-visible{outline:2px solid var(--after);outline-offset:2px}
    code{font:.86em ui-monospace,"SFMono-Regular",Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
    header{padding:3rem 0 1.4rem}
    header .lede{font-size:1.05rem;margin-top:.6rem}
    nav{margin-top:1.1rem;font-size:.93rem}
    nav ul{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.3rem}
    .glance{list-style:none;margin:1.8rem 0 0;padding:0;display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));\
    border:1px solid var(--hair);border-radius:8px;background:var(--card);overflow:hidden}
    .glance li{padding:.9rem 1.1rem 1rem;border-right:1px solid var(--hair);border-bottom:1px solid var(--hair);margin:0 -1px -1px 0}
    .glance .what{display:block;color:var(--soft);font-size:.86rem;line-height:1.35;min-height:2.4em}
    .glance .value{display:block;font-size:1.65rem;line-height:1.25;letter-spacing:-.01em;margin-top:.2rem}
    .glance .value small{font-size:.58em;color:var(--soft);margin-left:.15em}
    .glance .was{font-size:.86rem;color:var(--soft)}
    section{padding:2.2rem 0;border-top:1px solid var(--hair)}
    .key{display:inline-flex;align-items:center;gap:.35em;margin-right:1em;max-width:100%;overflow-wrap:anywhere}
    .key svg{width:26px;height:10px;flex:none}
    .charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20.5rem),1fr));gap:1.2rem;margin:1.2rem 0;align-items:start}
    .chart{margin:0;padding:.8rem .9rem .6rem;background:var(--card);border:1px solid var(--hair);border-radius:8px;max-width:27rem}
    .chart svg{display:block;width:100%;height:auto;overflow:visible}
    figcaption{font-size:.87rem;line-height:1.4;margin-bottom:.3rem}
    figcaption .chart-title{display:block;font-weight:600}
    figcaption .legend,figcaption .chart-note{display:block}
    .chart figcaption .legend svg{display:inline-block;width:26px}
    svg text{font:11px ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",Arial,sans-serif;fill:var(--soft)}
    svg .row-label{fill:var(--ink);font-size:12px}
    svg .grid{stroke:var(--hair);stroke-width:1}
    svg .axis,svg .zero-line{stroke:var(--strong);stroke-width:1}
    svg .chance{stroke:var(--strong);stroke-width:1;stroke-dasharray:2 3}
    svg .line{fill:none;stroke-width:1.7;stroke-linejoin:round;stroke-linecap:round}
    svg .whisker{stroke-width:1.6}
    svg .after,svg .single{stroke:var(--after)}
    svg .before{stroke:var(--before)}
    svg .line.before{stroke-dasharray:4 3.2}
    svg .dot{stroke-width:1.8;fill:var(--after)}
    svg .dot.before{fill:var(--card)}
    .scroll{overflow-x:auto;margin:1rem 0}
    table{border-collapse:collapse;font-size:.93rem;line-height:1.35}
    table.wide{width:100%}
    caption{text-align:left;color:var(--soft);font-size:.87rem;padding:0 0 .5rem}
    th,td{padding:.36rem .7rem;text-align:right;vertical-align:top;white-space:nowrap}
    th:first-child,td:first-child{padding-left:0}
    th:last-child,td:last-child{padding-right:.1rem}
    caption>span{display:block;position:sticky;left:0;max-width:min(46rem,calc(100vw - 2rem))}
    .legend{display:block}
    thead th{font-weight:600;font-size:.84rem;color:var(--soft);vertical-align:bottom;border-bottom:1px solid var(--strong);\
    white-space:normal;max-width:12rem;overflow-wrap:break-word}
    tbody th{font-weight:400;white-space:normal;min-width:5rem;overflow-wrap:anywhere}
    th[scope=row],th.text,td.text{text-align:left}
    td.text,td.long{white-space:normal;text-align:left}
    td.long{min-width:14rem}
    tbody tr+tr>*{border-top:1px solid var(--hair)}
    tbody .group th{font-weight:600;padding-top:.9rem;text-align:left;border-top:1px solid var(--hair)}
    tbody .group+tr>*{border-top:0}
    tr.change>*{color:var(--soft);font-style:normal}
    tr.total>*{border-top:1px solid var(--strong)!important}
    .ci{display:block;font-size:.76rem;color:var(--soft);white-space:nowrap}
    .zero,.none{color:var(--soft)}
    .worry{color:var(--bad);font-weight:600}
    .judge{display:inline-block;border:1px solid var(--strong);border-radius:1em;padding:.1rem .8rem;font-size:.87rem;max-width:100%}
    .cards{display:grid;gap:1.2rem;margin-top:1.3rem}
    .card{background:var(--card);border:1px solid var(--hair);border-radius:8px;padding:1.1rem 1.2rem 1.2rem;\
    display:grid;grid-template-columns:11rem 1fr;gap:.4rem 1.5rem;break-inside:avoid}
    .card figure{margin:0}
    .card img,.card .nopicture{display:block;width:100%;border-radius:4px;background:var(--hair)}
    .card .nopicture{aspect-ratio:4/3;display:grid;place-items:center;color:var(--soft);font-size:.8rem;text-align:center;padding:.5rem}
    .card figcaption{margin:.4rem 0 0;color:var(--soft);font-size:.78rem;overflow-wrap:anywhere}
    .card h3{margin:0 0 .3rem;font-size:1rem;overflow-wrap:anywhere}
    .card h4{margin:.9rem 0 .25rem;font-size:.87rem;font-weight:600}
    .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,16rem),1fr));gap:.2rem 1.6rem}
    .pair h4{margin-top:.3rem}
    ol.said{list-style:none;margin:0;padding:0;font-size:.93rem}
    ol.said li{padding:.12rem 0 .12rem 1.35rem;position:relative;overflow-wrap:anywhere}
    ol.said li>.mark{position:absolute;left:0;width:1.1rem;text-align:center;font-weight:700}
    .bad>.mark,.mark.bad{color:var(--bad)}
    .bad>.words,em.bad{background:var(--bad-wash);text-decoration:underline wavy var(--bad) 1px;text-underline-offset:.2em;font-style:normal;\
    border-radius:2px;box-decoration-break:clone;-webkit-box-decoration-break:clone}
    .open>.mark,.mark.open{color:var(--open)}
    .open>.words{background:var(--open-wash);border-radius:2px}
    .why{display:block;color:var(--soft);font-size:.8rem;line-height:1.4;white-space:normal;max-width:24rem}
    th .why{min-width:11rem}
    .columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 3rem}
    .card table{font-size:.87rem}
    .mark.good{color:var(--good)}
    .marks{display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;font-size:.87rem;list-style:none;padding:0;margin:.8rem 0}
    footer{border-top:1px solid var(--hair);padding:1.5rem 0 3rem;color:var(--soft);font-size:.86rem}
    .skip{position:absolute;left:-99em}.skip:focus{left:1rem;top:.5rem}
    .away{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
    @media (max-width:40rem){.wrap{padding:0 1rem}header{padding-top:1.6rem}h1{font-size:1.6rem}h2{font-size:1.3rem}\
    .glance{grid-template-columns:1fr 1fr}.glance li{padding:.7rem .8rem}.glance .value{font-size:1.35rem}\
    th,td{padding:.32rem .36rem}table{font-size:.82rem}thead th{font-size:.78rem}\
    tbody th[scope=row]{position:sticky;left:0;background:var(--paper)}.change .ci{white-space:normal}\
    .card thead{display:none}.card table,.card caption,.card tbody,.card tr,.card tbody th,.card td{display:block;white-space:normal}\
    .card tbody th[scope=row]{position:static;background:none;padding:.5rem 0 0}.card td{border:0!important;padding:.1rem 0 .1rem .1rem}\
    .card td[data-label]:before{content:attr(data-label)": ";color:var(--soft)}.card tr:last-child{padding-bottom:.2rem}.card{grid-template-columns:1fr;padding:.9rem}.card figure{max-width:11rem}\
    section{padding:1.6rem 0}.scroll{margin-right:-1rem;padding-right:1rem}}
    @media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--hair:#ccc;--strong:#888;--before:#9a5313;--after:#0a6870;\
    --bad:#a62319;--bad-wash:#fbe9e5;--open:#6b5a00;--open-wash:#f6efd2;--good:#2c6a35}\
    @page{margin:15mm}html{font-size:11px}body{font-size:10.5px;-webkit-print-color-adjust:exact;print-color-adjust:exact}.wrap{max-width:none;padding:0}\
    header{padding-top:0}nav,.skip{display:none}section{padding:1.2rem 0}.chart,.card,tr,.glance{break-inside:avoid}h2,h3,h4{break-after:avoid}\
    .charts{grid-template-columns:repeat(2,1fr);gap:.8rem}.chart{padding:.5rem;max-width:none}.scroll{overflow:visible}table:not(.wide){break-inside:avoid}\
    th,td{padding:.24rem .45rem}.card{grid-template-columns:8rem 1fr;padding:.7rem}td.long{min-width:0}a{color:inherit;text-decoration:none}}
    """
