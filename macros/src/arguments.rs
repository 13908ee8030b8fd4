//! `key = value, key = value`

use crate::error::Error;
use crate::function::{AngleBrackets, is_punct};
use proc_macro::{Ident, Span, TokenStream, TokenTree};

/// One `key = value`. The value has at least one token.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) key: Ident,
    pub(crate) value: Vec<TokenTree>,
}

impl Argument {
    /// Sorts the tokens into arguments. What is not well-formed is left out and becomes an error.
    pub(crate) fn parse_all(tokens: TokenStream, errors: &mut Vec<Error>) -> Vec<Argument> {
        let mut arguments: Vec<Argument> = Vec::new();
        for piece in split_at_commas(tokens) {
            match Argument::parse(&piece) {
                Err(error) => errors.push(error),
                Ok(new) => {
                    let name = new.key.to_string();
                    if arguments.iter().any(|argument| argument.key.to_string() == name) {
                        errors.push(Error::new(new.key.span(), format!("`{name}` is given twice")));
                    } else {
                        arguments.push(new);
                    }
                }
            }
        }
        arguments
    }

    fn parse(piece: &[TokenTree]) -> Result<Argument, Error> {
        let key = match piece {
            [TokenTree::Ident(key), ..] => key,
            _ => {
                let message = "expected `key = value`, such as `worker_threads = 4`";
                return Err(Error::covering(piece, Span::call_site(), message));
            }
        };
        let is_assignment = is_punct(piece.get(1), '=') && !is_punct(piece.get(2), '=');
        if !is_assignment || piece.len() < 3 {
            let message = format!("expected a value: `{key} = …`");
            return Err(Error::covering(piece, key.span(), message));
        }
        Ok(Argument { key: key.clone(), value: piece[2..].to_vec() })
    }
}

/// Splits at the commas that separate arguments; those between the brackets of `f::<A, B>()` do not.
fn split_at_commas(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut pieces = vec![Vec::new()];
    let mut brackets = AngleBrackets::default();
    for token in tokens {
        let piece = pieces.last_mut().expect("there is always a last piece");
        if is_punct(Some(&token), ',') && !brackets.are_open() {
            pieces.push(Vec::new());
            continue;
        }
        // A type's brackets begin after `::`, or a value: `= <T as Trait>::f()`.
        let may_open = is_punct(piece.last(), ':') || is_punct(piece.last(), '=');
        brackets.step(&token, may_open);
        piece.push(token);
    }
    // Nothing stands after the last comma, or in `()`.
    if pieces.last().is_some_and(Vec::is_empty) {
        pieces.pop();
    }
    pieces
}
