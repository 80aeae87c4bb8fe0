//! Columns: neighbouring bindings whose author set off their types or `=` are aligned with each other,
//! and the comments at the ends of neighbouring lines always are.

use super::lines::Line;

/// Lines to text.
pub fn text(mut lines: Vec<Line>) -> String {
    let mut from = 0;
    while from < lines.len() {
        let to = from + run_length(&lines[from..]);
        align_run(&mut lines[from..to]);
        from = to;
    }
    joined(&lines, &codes(&lines))
}

/// How many lines at the beginning are bindings of one kind at one indentation.
fn run_length(lines: &[Line]) -> usize {
    let joins = |pair: &[Line]| {
        let [above, below] = pair else { return false };
        below.equals.is_some()
            && above.equals.is_some()
            && above.binding == below.binding
            && above.indent == below.indent
            && !below.blank_before
    };
    1 + lines.windows(2).take_while(|pair| joins(pair)).count()
}

fn align_run(run: &mut [Line]) {
    for column in [|line: &Line| line.ty, |line: &Line| line.equals] {
        let set_off = |line: &Line| column(line).is_some_and(|piece| line.pieces[piece].set_off);
        if !run.iter().any(set_off) {
            continue;
        }
        let places: Vec<Option<(usize, usize)>> =
            run.iter().map(|line| column(line).map(|piece| (piece, start(line, piece)))).collect();
        let widest = places.iter().flatten().map(|(_, start)| *start).max().unwrap_or(0);
        for (line, place) in run.iter_mut().zip(places) {
            if let Some((piece, start)) = place {
                line.pieces[piece].gap += widest - start;
            }
        }
    }
}

/// How far right of the beginning of its line a piece begins.
fn start(line: &Line, piece: usize) -> usize {
    let before: usize = line.pieces[..piece].iter().map(|piece| piece.gap + width(piece.text)).sum();
    before + line.pieces.get(piece).map_or(0, |piece| piece.gap)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The lines without comments.
fn codes(lines: &[Line]) -> Vec<String> {
    let mut margins: Vec<usize> = Vec::new();
    let mut codes = Vec::new();
    for line in lines {
        let under = line.indent.under.map_or(0, |(above, piece)| margins[above] + start(&lines[above], piece));
        let margin = under + line.indent.plus;
        let mut code = " ".repeat(margin);
        for piece in &line.pieces {
            code.extend(std::iter::repeat_n(' ', piece.gap));
            code.push_str(piece.text);
        }
        margins.push(margin);
        codes.push(code);
    }
    codes
}

fn joined(lines: &[Line], codes: &[String]) -> String {
    let columns = comment_columns(lines, codes);
    let mut text = String::new();
    for ((line, code), column) in lines.iter().zip(codes).zip(columns) {
        if line.blank_before {
            text.push('\n');
        }
        text.push_str(code);
        if let Some(comment) = line.comment {
            let wanted = if line.pieces.is_empty() { 0 } else { column - width(code) };
            text.extend(std::iter::repeat_n(' ', wanted));
            text.push_str(comment);
        }
        text.push('\n');
    }
    text
}

/// Where the comment of each line begins that has one behind its code.
fn comment_columns(lines: &[Line], codes: &[String]) -> Vec<usize> {
    const BLANKS: usize = 2;
    let has_comment = |line: &Line| line.comment.is_some() && !line.pieces.is_empty();
    let mut columns: Vec<usize> = codes.iter().map(|code| width(code) + BLANKS).collect();
    let mut from = 0;
    while from < lines.len() {
        let joins = |pair: &[Line]| pair.iter().all(has_comment) && !pair[1].blank_before;
        let to = from + 1 + lines[from..].windows(2).take_while(|pair| joins(pair)).count();
        let widest = columns[from..to].iter().copied().max().unwrap_or(0);
        columns[from..to].fill(widest);
        from = to;
    }
    columns
}
