//! What editors paste, and what becomes of it.

use super::*;

#[test]
fn a_whole_text_keeps_its_look() {
    let html = "<h2>Sale</h2><p>Hi <b>you</b> &amp; <i>me</i></p><ul><li>one</li><li><s>two</s></li></ul><a href=\"https://x.example/a?b=1&amp;c\">here</a><br>bye";
    assert!(looks_like_html(html));
    assert_eq!(
        from_html(html),
        "*Sale*\nHi *you* & _me_\n• one\n• ~two~\nhere (https://x.example/a?b=1&c)\nbye"
    );
}

#[test]
fn only_known_tags_are_html() {
    for yes in [
        "<b>x</b>",
        "a<br>b",
        "<P class='x'>",
        "x</p>",
        "<a href=\"a>b\">x</a>",
        "<br/>",
        "<script>",
    ] {
        assert!(looks_like_html(yes), "{yes}");
    }
    for no in [
        "",
        "1 < 2 and 3 > 2 <3",
        "<name>",
        "{{contact.name}}",
        "&amp;",
        "<b",
        "< b>",
        "a <= b => c",
    ] {
        assert!(!looks_like_html(no), "{no}");
    }
}

#[test]
fn each_element_becomes_its_mark() {
    for (html, text) in [
        ("<b>x</b> <strong>y</strong>", "*x* *y*"),
        ("<i>x</i> <em>y</em>", "_x_ _y_"),
        ("<s>x</s> <del>y</del> <strike>z</strike>", "~x~ ~y~ ~z~"),
        ("<code>x</code>", "```x```"),
        ("<pre>x  y\n  z</pre>", "```x  y```\n```  z```"),
        ("<h1>x</h1>y<h6>z</h6>", "*x*\ny\n*z*"),
        ("<u>x</u> <span>y</span>", "x y"),
        ("<B>x</B>", "*x*"),
        ("<B\nclass=\"a\">x</B>", "*x*"),
        ("<o:p>x</o:p>", "x"),
        ("<b>Hi <name></b>", "*Hi <name>*"),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn marks_stand_next_to_letters_and_close_on_their_line() {
    for (html, text) in [
        ("a<b> x </b>b", "a *x* b"),
        ("a <b></b>b", "a b"),
        ("<b> </b>", ""),
        ("<b>x<br>y</b>", "*x*\n*y*"),
        ("<p><b>x</b></p><b><p>y</p></b>", "*x*\n*y*"),
        ("<b>x</b><b>y</b>", "*xy*"),
        ("<h1><b>x</b></h1>", "*x*"),
        ("<b>x <i>y</i></b>", "*x _y_*"),
        ("<b>x <i>y</b> z</i>", "*x _y_* z"),
        ("<i>x <b>y</b></i>", "_x *y*_"),
        ("<b><i>x</i> y</b>", "*_x_ y*"),
        ("<i>x</i><b><i>y</i></b>", "_x*y*_"),
        ("<b>x<code>y</code></b>", "*x*```y```"),
        ("<b>never closed", "*never closed*"),
        ("</b>x</i>", "x"),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn lines_are_those_a_person_sees() {
    for (html, text) in [
        ("<p>a</p><p>b</p>", "a\nb"),
        ("<p>a</p>\n  <p>b</p>\n", "a\nb"),
        ("<p>a</p><p><br></p><p>b</p>", "a\n\nb"),
        ("<p>a<br></p><p>b</p>", "a\nb"),
        ("<div><div>a</div></div>b", "a\nb"),
        ("a<br/>b<BR>c", "a\nb\nc"),
        ("a\n  b<br>c", "a b\nc"),
        ("a <b>b</b>\nc", "a *b*\nc"),
        ("a&nbsp;&nbsp;b<br>", "a  b"),
        (
            "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
            "a b\nc",
        ),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn lists_have_bullets_or_numbers() {
    for (html, text) in [
        ("x<ul><li>a</li><li>b</li></ul>y", "x\n• a\n• b\ny"),
        ("<ol><li>a<li>b</ol>", "1. a\n2. b"),
        (
            "<ul><li><p>a</p></li><li></li><li><b>b</b></li></ul>",
            "• a\n• *b*",
        ),
        (
            "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>",
            "• a\n  • b\n• c",
        ),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn links_show_where_they_lead() {
    for (html, text) in [
        (
            "<a href='https://x.example'>here</a>.",
            "here (https://x.example).",
        ),
        (
            "<a href=https://x.example>here</a>",
            "here (https://x.example)",
        ),
        ("<a href=\"https://x.example/\">x.example</a>", "x.example"),
        ("<a href=\"https://x.example\"></a>", "https://x.example"),
        (
            "<a href=\"mailto:a@x.example?subject=y\">write</a>",
            "write (a@x.example)",
        ),
        (
            "<a href=\"mailto:a@x.example\">a@x.example</a>",
            "a@x.example",
        ),
        (
            "<a href=\"{{contact.page}}\">yours</a>",
            "yours ({{contact.page}})",
        ),
        (
            "<b><a href=\"https://x.example\">here</a></b>",
            "*here* (https://x.example)",
        ),
        ("<a href=\"javascript:alert(1)\">x</a>", "x"),
        ("<a href=\"java\nscript:alert(1)\">x</a>", "x"),
        ("<a href=\"data:text/html,x\">x</a>", "x"),
        ("<a href=\"#top\">x</a>", "x"),
        ("<a data-href=\"https://x.example\">x</a>", "x"),
        ("<a>x</a>", "x"),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn what_is_no_text_leaves_nothing() {
    for (html, text) in [
        ("<style>p { color: red }</style><p>a</p>", "a"),
        ("<script>alert('<b>')</script>a", "a"),
        ("<!-- <b>x</b> -->a", "a"),
        ("a<!-- never closed <b>x", "a"),
        (
            "<!DOCTYPE html><html><head><title>t</title></head><body>a</body></html>",
            "a",
        ),
        ("<?xml version=\"1.0\"?><p>a", "a"),
        ("<img src=x onerror=alert(1)>a", "a"),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn word_processors_say_it_by_style() {
    for (html, text) in [
        (
            "<b style=\"font-weight:normal\"><p>a <span style='font-weight: 700'>b</span></p></b>",
            "a *b*",
        ),
        (
            "<span style=\"font-style:italic; color: red\">a</span>",
            "_a_",
        ),
        (
            "<span style=\"text-decoration: line-through\">a</span>",
            "~a~",
        ),
    ] {
        assert_eq!(from_html(html), text, "{html}");
    }
}

#[test]
fn placeholders_come_through() {
    assert_eq!(
        from_html("<p>Hi <b>{{contact.name|there}}</b>, {{ a }}</p>"),
        "Hi *{{contact.name|there}}*, {{ a }}"
    );
}

proptest::proptest! {
    #[test]
    fn no_html_panics(html in "(<(/)?(b|i|p|br|li|ul|ol|a href=x|pre|code|script|span style=\"x\")>|[ a&;#\n]|<|>|[^<>]){0,40}") {
        let text = from_html(&html);
        proptest::prop_assert_eq!(text.trim(), &text);
    }

    #[test]
    fn no_text_panics(text in ".*") {
        let _ = from_html(&text);
    }
}
