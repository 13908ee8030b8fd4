//! Writes the blocking function around the async one.

use crate::arguments::Argument;
use crate::error::Error;
use crate::function::{Function, is_punct, is_word};
use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Which of the two attributes is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Main,
    Test,
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Attribute::Main => "#[filch::main]",
            Attribute::Test => "#[filch::test]",
        }
    }
}

pub(crate) fn expand(
    attribute: Attribute,
    arguments: TokenStream,
    item: TokenStream,
) -> TokenStream {
    let function = match Function::parse(item.clone()) {
        Ok(function) => function,
        Err(error) => return [error.into_compile_error(), item].into_iter().collect(),
    };
    let mut errors = Vec::new();
    let arguments = Argument::parse_all(arguments, &mut errors);
    let plan = Plan::new(attribute, &arguments, &mut errors);
    check_signature(attribute, &function, &mut errors);
    if errors.is_empty() {
        return blocking(attribute, &plan, &function);
    }
    let mut output = TokenStream::from_iter(errors.into_iter().map(Error::into_compile_error));
    output.extend(stub(&function));
    output
}

/// What the arguments ask for.
struct Plan {
    /// Where filch is.
    filch: TokenStream,
    /// `.key(value).key(value)`
    builder_calls: TokenStream,
    /// An expression of type `Option<Duration>`.
    timeout: TokenStream,
}

impl Plan {
    fn new(attribute: Attribute, arguments: &[Argument], errors: &mut Vec<Error>) -> Plan {
        let mut plan = Plan {
            filch: fill("::filch", &[]),
            builder_calls: TokenStream::new(),
            timeout: fill("::core::option::Option::None", &[]),
        };
        let mut workers_given = false;
        for argument in arguments {
            let Argument { key, value } = argument;
            match (attribute, key.to_string().as_str()) {
                (_, "crate") if value.iter().all(belongs_to_a_path) => {
                    plan.filch = collect(value);
                }
                (_, "crate") => {
                    let message = "expected a path: `crate = ::my::filch`";
                    errors.push(Error::covering(value, key.span(), message));
                }
                (Attribute::Test, "timeout") => match timeout(value) {
                    Ok(expression) => plan.timeout = expression,
                    Err(error) => errors.push(error),
                },
                (Attribute::Test, "clock") => match value.as_slice() {
                    [clock] if is_word(clock, "system") => {}
                    [clock] if is_word(clock, "manual") => {
                        plan.builder_calls.extend(fill(".manual_clock(true)", &[]));
                    }
                    _ => {
                        let message = "unknown clock: the clocks are `system` and `manual`";
                        errors.push(Error::covering(value, key.span(), message));
                    }
                },
                (_, name) => {
                    workers_given |= name == "worker_threads";
                    let key = TokenTree::Ident(key.clone()).into();
                    let holes = [("key", key), ("value", collect(value))];
                    plan.builder_calls.extend(fill(".$key($value)", &holes));
                }
            }
        }
        if attribute == Attribute::Test && !workers_given {
            plan.builder_calls.extend(fill(".worker_threads(2)", &[]));
        }
        plan
    }
}

fn belongs_to_a_path(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(_) => true,
        TokenTree::Punct(punct) => punct.as_char() == ':',
        // From a `$path` of `macro_rules!`.
        TokenTree::Group(group) => group.delimiter() == Delimiter::None,
        TokenTree::Literal(_) => false,
    }
}

/// `secs(5)` and `millis(50)` are words of the macro; any other expression is the user's.
fn timeout(value: &[TokenTree]) -> Result<TokenStream, Error> {
    if let [TokenTree::Literal(number)] = value {
        let message = "a timeout needs a unit, such as `secs(5)` or `millis(50)`";
        return Err(Error::new(number.span(), message));
    }
    if let [TokenTree::Ident(unit), TokenTree::Group(number)] = value {
        let constructor = match unit.to_string().as_str() {
            "secs" => Some("from_secs"),
            "millis" => Some("from_millis"),
            _ => None,
        };
        if let Some(constructor) = constructor {
            let constructor = TokenTree::Ident(Ident::new(constructor, unit.span()));
            let holes = [
                ("constructor", constructor.into()),
                ("number", TokenTree::Group(number.clone()).into()),
            ];
            let some = "::core::option::Option::Some(::core::time::Duration::$constructor $number)";
            return Ok(fill(some, &holes));
        }
    }
    let into =
        "::core::convert::Into::<::core::option::Option<::core::time::Duration>>::into($value)";
    Ok(fill(into, &[("value", collect(value))]))
}

fn check_signature(attribute: Attribute, function: &Function, errors: &mut Vec<Error>) {
    let at_name = function.name.span();
    let subject = format!("the function under `{}`", attribute.name());
    if !function.qualifiers.iter().any(|word| is_word(word, "async")) {
        let message = format!("{subject} must be async: `async fn {}()`", function.name);
        let signature =
            [TokenTree::Ident(function.fn_token.clone()), TokenTree::Ident(function.name.clone())];
        errors.push(Error::covering(&signature, at_name, message));
    }
    for word in &function.qualifiers {
        if matches!(word, TokenTree::Ident(_)) && !is_word(word, "async") {
            errors.push(Error::new(word.span(), format!("{subject} cannot be `{word}`")));
        }
    }
    if !function.generics.is_empty() {
        let message = format!("{subject} cannot be generic: nobody calls it with types");
        errors.push(Error::covering(&function.generics, at_name, message));
    } else if !function.where_clause.is_empty() {
        let message = format!("{subject} cannot have a `where` clause");
        errors.push(Error::covering(&function.where_clause, at_name, message));
    }
    if !function.parameters.stream().is_empty() {
        let hint = match attribute {
            Attribute::Main => ": read the command line with `std::env::args()`",
            Attribute::Test => "",
        };
        let message = format!("{subject} takes no parameters{hint}");
        errors.push(Error::new(function.parameters.span(), message));
    }
    if let (Attribute::Test, Some(span)) = (attribute, function.plain_attribute("test")) {
        let message = "`#[filch::test]` makes this a test already: remove `#[test]`";
        errors.push(Error::new(span, message));
    }
}

/// The blocking function: the async one inside, and a call that waits for it.
fn blocking(attribute: Attribute, plan: &Plan, function: &Function) -> TokenStream {
    let holes = [
        ("attributes", collect(&function.attributes)),
        ("visibility", collect(&function.visibility)),
        ("name", collect(&[TokenTree::Ident(function.name.clone())])),
        ("output", collect(&function.output)),
        ("async_function", async_function(function)),
        ("filch", plan.filch.clone()),
        ("builder_calls", plan.builder_calls.clone()),
        ("timeout", plan.timeout.clone()),
    ];
    let template = match attribute {
        Attribute::Main if plan.builder_calls.is_empty() => {
            "$attributes
             $visibility fn $name() $output {
                 $async_function
                 $filch::run($name())
             }"
        }
        Attribute::Main => {
            "$attributes
             $visibility fn $name() $output {
                 $async_function
                 $filch::__private::run_main($filch::Runtime::builder() $builder_calls, $name())
             }"
        }
        Attribute::Test => {
            "#[::core::prelude::v1::test]
             $attributes
             $visibility fn $name() $output {
                 $async_function
                 $filch::__private::run_test(
                     ::core::concat!(::core::module_path!(), \"::\", ::core::stringify!($name)),
                     $filch::Runtime::builder() $builder_calls,
                     $timeout,
                     $name(),
                 )
             }"
        }
    };
    fill(template, &holes)
}

/// What stands in for a refused function: a call of it compiles, and its body is still checked.
fn stub(function: &Function) -> TokenStream {
    fill(
        "#[allow(dead_code)]
         $visibility fn $name() {
             #[allow(dead_code)]
             $function
         }",
        &[
            ("visibility", collect(&function.visibility)),
            ("name", collect(&[TokenTree::Ident(function.name.clone())])),
            ("function", inner_function(collect(&function.qualifiers), function)),
        ],
    )
}

/// The user's function. Its `async` is the macro's, though at the user's place: so clippy sees that the user could not
/// leave it out, and does not complain if the body awaits nothing.
fn async_function(function: &Function) -> TokenStream {
    let is_async = |token: &&TokenTree| is_word(token, "async");
    let place = function
        .qualifiers
        .iter()
        .find(is_async)
        .map_or(Span::mixed_site(), |token| Span::mixed_site().located_at(token.span()));
    inner_function(TokenTree::Ident(Ident::new("async", place)).into(), function)
}

fn inner_function(qualifiers: TokenStream, function: &Function) -> TokenStream {
    let mut all = qualifiers;
    all.extend([
        TokenTree::Ident(function.fn_token.clone()),
        TokenTree::Ident(function.name.clone()),
    ]);
    all.extend(function.generics.iter().cloned());
    all.extend([TokenTree::Group(function.parameters.clone())]);
    all.extend(function.output.iter().cloned());
    all.extend(function.where_clause.iter().cloned());
    all.extend([TokenTree::Group(function.body.clone())]);
    all
}

fn collect(tokens: &[TokenTree]) -> TokenStream {
    tokens.iter().cloned().collect()
}

/// Reads `template` as Rust and puts the tokens of the hole `x` where it says `$x`. The template's own names are the
/// macro's: they cannot meet the user's, whatever that crate's edition.
fn fill(template: &str, holes: &[(&str, TokenStream)]) -> TokenStream {
    let tokens: TokenStream = template.parse().expect("a template is well-formed");
    fill_tokens(tokens, holes)
}

fn fill_tokens(tokens: TokenStream, holes: &[(&str, TokenStream)]) -> TokenStream {
    let mut filled = TokenStream::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            token if is_punct(Some(&token), '$') => {
                let name = tokens.next().expect("a name follows `$`").to_string();
                let hole = holes.iter().find(|(hole, _)| *hole == name);
                filled.extend(hole.expect("each `$name` is a hole").1.clone());
            }
            TokenTree::Group(group) => {
                let inner = fill_tokens(group.stream(), holes);
                let mut group = Group::new(group.delimiter(), inner);
                group.set_span(Span::mixed_site());
                filled.extend([TokenTree::Group(group)]);
            }
            mut token => {
                token.set_span(Span::mixed_site());
                filled.extend([token]);
            }
        }
    }
    filled
}
