//! Takes a function apart, as far as the macros need it.

use crate::error::Error;
use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// `attributes visibility qualifiers fn name generics (parameters) output where body`
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) attributes: Vec<TokenTree>,
    pub(crate) visibility: Vec<TokenTree>,
    /// What stands before `fn`: `async`, and things that are refused.
    pub(crate) qualifiers: Vec<TokenTree>,
    pub(crate) fn_token: Ident,
    pub(crate) name: Ident,
    /// `<…>`, with the angle brackets, or nothing.
    pub(crate) generics: Vec<TokenTree>,
    pub(crate) parameters: Group,
    /// `-> T`, with the arrow, or nothing.
    pub(crate) output: Vec<TokenTree>,
    /// `where …`, or nothing.
    pub(crate) where_clause: Vec<TokenTree>,
    pub(crate) body: Group,
}

impl Function {
    /// Fails if `item` is no function with a body. Whether the function suits the macro is asked elsewhere.
    pub(crate) fn parse(item: TokenStream) -> Result<Function, Error> {
        let mut tokens = Cursor::new(item);
        let attributes = tokens.attributes();
        let visibility = tokens.visibility();
        let qualifiers = tokens.take_while(is_qualifier);
        let fn_token = match tokens.next() {
            Some(TokenTree::Ident(word)) if is(&word, "fn") => word,
            other => return Err(no_function(other.as_ref())),
        };
        let name = match tokens.next() {
            Some(TokenTree::Ident(name)) => name,
            other => return Err(no_function(other.as_ref())),
        };
        let generics = tokens.angle_brackets();
        let parameters = match tokens.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => group,
            other => return Err(no_function(other.as_ref())),
        };
        let Some(body) = tokens.pop_body() else {
            return Err(Error::new(name.span(), "this function needs a body"));
        };
        let output = tokens.take_while(|token| !is_word(token, "where"));
        let where_clause = tokens.take_while(|_| true);
        Ok(Function {
            attributes,
            visibility,
            qualifiers,
            fn_token,
            name,
            generics,
            parameters,
            output,
            where_clause,
            body,
        })
    }

    /// The place of the attribute `#[name]`, if it stands there without a path.
    pub(crate) fn plain_attribute(&self, name: &str) -> Option<Span> {
        self.attributes.iter().find_map(|token| match token {
            TokenTree::Group(brackets) => match Vec::from_iter(brackets.stream()).as_slice() {
                [TokenTree::Ident(word)] if is(word, name) => Some(word.span()),
                _ => None,
            },
            _ => None,
        })
    }
}

fn no_function(found: Option<&TokenTree>) -> Error {
    let span = found.map_or_else(Span::call_site, TokenTree::span);
    Error::new(span, "expected an async function")
}

fn is(word: &Ident, text: &str) -> bool {
    // Comparing allocates a string; functions have few words.
    word.to_string() == text
}

pub(crate) fn is_word(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(word) if is(word, text))
}

pub(crate) fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_qualifier(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(word) => {
            ["async", "const", "default", "extern", "safe", "unsafe"].iter().any(|w| is(word, w))
        }
        TokenTree::Literal(_abi) => true,
        _ => false,
    }
}

fn is_group(token: Option<&TokenTree>, delimiter: Delimiter) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
}

/// The tokens not yet taken, the next one last.
struct Cursor {
    reversed: Vec<TokenTree>,
}

impl Cursor {
    fn new(stream: TokenStream) -> Cursor {
        let mut reversed = Vec::from_iter(stream);
        reversed.reverse();
        Cursor { reversed }
    }

    fn peek(&self, ahead: usize) -> Option<&TokenTree> {
        self.reversed.len().checked_sub(ahead + 1).map(|index| &self.reversed[index])
    }

    fn next(&mut self) -> Option<TokenTree> {
        self.reversed.pop()
    }

    fn take(&mut self, count: usize) -> Vec<TokenTree> {
        let keep = self.reversed.len() - count;
        let mut taken = self.reversed.split_off(keep);
        taken.reverse();
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(&TokenTree) -> bool) -> Vec<TokenTree> {
        let count = self.reversed.iter().rev().take_while(|token| wanted(token)).count();
        self.take(count)
    }

    /// `#[…] #[…]`; doc comments arrive in this form, too.
    fn attributes(&mut self) -> Vec<TokenTree> {
        let mut attributes = Vec::new();
        while is_punct(self.peek(0), '#') && is_group(self.peek(1), Delimiter::Bracket) {
            attributes.extend(self.take(2));
        }
        attributes
    }

    /// `pub`, `pub(crate)`; or, from a `$vis` of `macro_rules!`, a group without delimiters.
    fn visibility(&mut self) -> Vec<TokenTree> {
        if is_group(self.peek(0), Delimiter::None) {
            self.take(1)
        } else if self.peek(0).is_some_and(|token| is_word(token, "pub")) {
            self.take(1 + usize::from(is_group(self.peek(1), Delimiter::Parenthesis)))
        } else {
            Vec::new()
        }
    }

    /// `<…>` up to the bracket that closes the first.
    fn angle_brackets(&mut self) -> Vec<TokenTree> {
        let mut brackets = AngleBrackets::default();
        let mut count = 0;
        while let Some(token) = self.peek(count) {
            brackets.step(token, count == 0);
            if !brackets.are_open() {
                // The closing bracket belongs to them; a token that opened none does not.
                count += usize::from(count > 0);
                break;
            }
            count += 1;
        }
        self.take(count)
    }

    /// The last token, if it is `{…}`; or, from a `$block` of `macro_rules!`, a group around that.
    fn pop_body(&mut self) -> Option<Group> {
        match self.reversed.first()? {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let body = group.clone();
                self.reversed.remove(0);
                Some(body)
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                let body = Cursor::new(group.stream()).pop_body()?;
                self.reversed.remove(0);
                Some(body)
            }
            _ => None,
        }
    }
}

/// Tells the brackets of `<A, B>` from the arrows and comparisons around them.
#[derive(Default)]
pub(crate) struct AngleBrackets {
    depth: usize,
    after_arrow_start: bool,
}

impl AngleBrackets {
    /// Looks at the next token. Outside of brackets, `<` opens one only where it `may_open`.
    pub(crate) fn step(&mut self, token: &TokenTree, may_open: bool) {
        let after_arrow_start = std::mem::take(&mut self.after_arrow_start);
        if let TokenTree::Punct(punct) = token {
            match punct.as_char() {
                '<' if may_open || self.depth > 0 => self.depth += 1,
                '>' if !after_arrow_start => self.depth = self.depth.saturating_sub(1),
                '-' | '=' => self.after_arrow_start = true,
                _ => {}
            }
        }
    }

    pub(crate) fn are_open(&self) -> bool {
        self.depth > 0
    }
}
