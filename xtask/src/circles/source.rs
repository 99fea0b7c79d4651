//! Reads which items a Rust file names, and which modules it declares for tests alone.
//!
//! It works on tokens, not on a syntax tree: paths in macros count, those in comments and strings do not.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// The segments of a path, from the root of the crate.
pub(super) type ModulePath = Vec<String>;

/// What one file names.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Every path of the file as if it began in this crate: a path of another crate is one of no module.
    pub(super) paths: BTreeSet<ModulePath>,
    /// Modules that are compiled for tests alone.
    pub(super) test_modules: BTreeSet<ModulePath>,
    /// Names that `use` brings into the file.
    imports: BTreeMap<String, ModulePath>,
}

impl Source {
    /// Reads the text of the file that is `module`.
    ///
    /// # Errors
    /// The text is not Rust.
    pub(super) fn read(text: &str, module: &[String]) -> Result<Self, LexError> {
        let mut source = Source::default();
        source.tokens(text.parse()?, module);
        let imports = std::mem::take(&mut source.imports);
        // A path may begin with a module that `use` has brought.
        let imported = |path: &ModulePath| {
            let (first, rest) = path.strip_prefix(module)?.split_first()?;
            Some([imports.get(first)?, rest].concat())
        };
        let through_imports: Vec<ModulePath> = source.paths.iter().filter_map(imported).collect();
        source.paths.extend(through_imports);
        Ok(source)
    }

    fn tokens(&mut self, stream: TokenStream, here: &[String]) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let Some((token, after)) = rest.split_first() {
            rest = match token {
                _ if is_test_attribute(rest) => self.test_item(&rest[2..], here),
                _ if is_path_separator(rest) => skip_path(&rest[2..]),
                TokenTree::Ident(word) if word == "use" && !is_punctuation(after.first(), '<') => {
                    let end = after.iter().position(|token| is_punctuation(Some(token), ';')).unwrap_or(after.len());
                    self.use_tree(&after[..end], &[], here);
                    &after[end..]
                }
                TokenTree::Ident(word) if word == "mod" => match after {
                    [TokenTree::Ident(name), TokenTree::Group(body), after @ ..] => {
                        self.tokens(body.stream(), &[here, &[plain(name)]].concat());
                        after
                    }
                    _ => after,
                },
                // A visibility, which names a module and uses nothing of it.
                TokenTree::Ident(word) if word == "pub" => match after {
                    [TokenTree::Group(group), after @ ..] if group.stream().to_string().starts_with("in ") => after,
                    _ => after,
                },
                TokenTree::Ident(_) => {
                    let (path, after) = path(rest);
                    if path.len() > 1 {
                        self.paths.insert(absolute(path, here));
                    }
                    after
                }
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), here);
                    after
                }
                _ => after,
            };
        }
    }

    /// What follows the item for tests that `tokens` begins with.
    fn test_item<'a>(&mut self, tokens: &'a [TokenTree], here: &[String]) -> &'a [TokenTree] {
        let is_word = |token: &TokenTree, words: &[&str]| matches!(token, TokenTree::Ident(word) if words.iter().any(|known| word == known));
        let mut ends_with_body = true;
        for (number, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(_) if is_word(token, &["mod"]) => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(number + 1) {
                        self.test_modules.insert([here, &[plain(name)]].concat());
                    }
                }
                // Braces are within these, not their end.
                TokenTree::Ident(_) if is_word(token, &["use", "let", "static", "type"]) => ends_with_body = false,
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && ends_with_body => {
                    return &tokens[number + 1..];
                }
                token if is_punctuation(Some(token), ';') => return &tokens[number + 1..],
                _ => {}
            }
        }
        &[]
    }

    fn use_tree(&mut self, tokens: &[TokenTree], prefix: &[String], here: &[String]) {
        for branch in tokens.split(|token| is_punctuation(Some(token), ',')) {
            if is_path_separator(branch) {
                continue;
            }
            let (segments, rest) = path(branch);
            let mut whole = [prefix, &segments].concat();
            if let Some(TokenTree::Group(group)) = rest.iter().find(|token| matches!(token, TokenTree::Group(_))) {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                self.use_tree(&inner, &whole, here);
                continue;
            }
            if whole.len() > 1 {
                whole.pop_if(|last| last == "self");
            }
            let name = match rest {
                [TokenTree::Ident(_), TokenTree::Ident(alias), ..] => Some(plain(alias)),
                _ => whole.last().cloned(),
            };
            let whole = absolute(whole, here);
            if let Some(name) = name {
                self.imports.insert(name, whole.clone());
            }
            self.paths.insert(whole);
        }
    }
}

/// The segments of the path that `tokens` begins with, and what follows it.
fn path(tokens: &[TokenTree]) -> (Vec<String>, &[TokenTree]) {
    let (mut segments, mut rest) = (Vec::new(), tokens);
    while let [TokenTree::Ident(word), after @ ..] = rest {
        segments.push(plain(word));
        rest = after;
        if !is_path_separator(after) {
            break;
        }
        rest = &after[2..];
    }
    (segments, rest)
}

fn skip_path(tokens: &[TokenTree]) -> &[TokenTree] {
    path(tokens).1
}

/// A path of the module `here` from the root of the crate.
fn absolute(path: Vec<String>, here: &[String]) -> ModulePath {
    let mut base = here.to_vec();
    let mut segments = path.into_iter().peekable();
    while let Some(word) = segments.next_if(|word| ["crate", "self", "super"].contains(&word.as_str())) {
        match word.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            _ => {}
        }
    }
    base.extend(segments);
    base
}

fn plain(word: &proc_macro2::Ident) -> String {
    word.to_string().trim_start_matches("r#").to_owned()
}

fn is_punctuation(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punctuation)) if punctuation.as_char() == character)
}

/// Whether `tokens` begins with `::`.
fn is_path_separator(tokens: &[TokenTree]) -> bool {
    let is_joint =
        matches!(tokens.first(), Some(TokenTree::Punct(one)) if one.spacing() == proc_macro2::Spacing::Joint);
    is_joint && is_punctuation(tokens.first(), ':') && is_punctuation(tokens.get(1), ':')
}

/// Whether `tokens` begins with `#[cfg(test)]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(group), ..] = tokens else { return false };
    is_punctuation(Some(hash), '#') && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let module = ["a".to_owned(), "b".to_owned()];
        Source::read(text, &module).unwrap().paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn paths_of_a_use_begin_where_the_keyword_says() {
        assert_eq!(read("use crate::x::Y;"), ["x::Y"]);
        assert_eq!(read("use super::x::Y as Z;"), ["a::x::Y"]);
        assert_eq!(read("pub(crate) use c::Y;"), ["a::b::c::Y"]);
        assert_eq!(read("use super::*;"), ["a"]);
        assert_eq!(read("use super::{self, c::{D, e::*}, r#mod::F};"), ["a", "a::c::D", "a::c::e", "a::mod::F"]);
    }

    #[test]
    fn paths_in_bodies_types_and_macros_count() {
        assert_eq!(read("fn f(x: &super::X) { crate::y::g() }"), ["a::X", "y::g"]);
        assert_eq!(read("fn f() { assert_eq!(c::g(), vec![self::d::H::<u8>::new()]) }"), ["a::b::c::g", "a::b::d::H"]);
        assert_eq!(read("mod inner { fn f() { super::super::g() } }"), ["a::g"]);
    }

    #[test]
    fn a_module_that_was_imported_counts_with_what_is_used_of_it() {
        assert_eq!(read("use crate::x; fn f() { x::y::g() }"), ["a::b::x::y::g", "x", "x::y::g"]);
    }

    #[test]
    fn what_only_looks_like_a_path_does_not_count() {
        let none: [&str; 0] = [];
        assert_eq!(read("//! [`super::X`]\n/// super::Y\nfn f() { \"crate::z::g\"; } // crate::z"), none);
        assert_eq!(read("pub(crate) struct S; pub(in crate::x) fn f(self) -> impl T + use<'_> { ::std::g() }"), none);
    }

    #[test]
    fn items_for_tests_do_not_count() {
        let text = "#[cfg(test)] use super::{x, y}; #[cfg(test)] mod t { use super::super::x; } \
                    #[cfg(test)] #[must_use] fn f() -> super::X { super::y() } #[cfg(test)] mod more; use crate::z::W;";
        assert_eq!(read(text), ["z::W"]);
        let source = Source::read(text, &["a".to_owned()]).unwrap();
        assert_eq!(source.test_modules.iter().map(|path| path.join("::")).collect::<Vec<_>>(), ["a::more", "a::t"]);
    }
}
