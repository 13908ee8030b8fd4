//! A message for the user, at the user's code.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// What is wrong, and from where to where it stands.
#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    start: Span,
    end: Span,
}

impl Error {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Error {
        Error { message: message.into(), start: span, end: span }
    }

    /// The error covers all of `tokens`, or stands at `fallback` if there are none.
    pub(crate) fn covering(
        tokens: &[TokenTree],
        fallback: Span,
        message: impl Into<String>,
    ) -> Error {
        let start = tokens.first().map_or(fallback, TokenTree::span);
        let end = tokens.last().map_or(fallback, TokenTree::span);
        Error { message: message.into(), start, end }
    }

    /// `::core::compile_error! { "message" }`, whose first and last token carry the span.
    pub(crate) fn into_compile_error(self) -> TokenStream {
        let punct = |character, spacing| {
            let mut punct = Punct::new(character, spacing);
            punct.set_span(self.start);
            TokenTree::Punct(punct)
        };
        let ident = |name| TokenTree::Ident(Ident::new(name, self.start));
        let mut message = Literal::string(&self.message);
        message.set_span(self.end);
        let mut braces = Group::new(Delimiter::Brace, TokenTree::Literal(message).into());
        braces.set_span(self.end);
        TokenStream::from_iter([
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            ident("core"),
            punct(':', Spacing::Joint),
            punct(':', Spacing::Alone),
            ident("compile_error"),
            punct('!', Spacing::Alone),
            TokenTree::Group(braces),
        ])
    }
}
