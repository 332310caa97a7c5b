"""The input line of a terminal session: ptpython's editing, in which a session has only what is state.

ptpython makes its key bindings, styles, menus and options anew for each prompt: 3,000 objects that the garbage collector visits ever
after, for every session. Here a session has its buffers, its windows and what was drawn; keys and looks are made once, and find the
line they work for as prompt_toolkit's own do: by `get_app()`.
"""

import ast
import functools
from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application, application, get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer
from prompt_toolkit.cursor_shapes import DynamicCursorShapeConfig
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import (
    Condition,
    Filter,
    emacs_insert_mode,
    emacs_mode,
    has_arg,
    has_completions,
    has_focus,
    has_selection,
    has_validation_error,
    is_done,
    is_searching,
    vi_insert_mode,
)
from prompt_toolkit.formatted_text import AnyFormattedText
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyBindingsBase, merge_key_bindings
from prompt_toolkit.key_binding.bindings.auto_suggest import load_auto_suggest_bindings
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.key_binding.bindings.page_navigation import load_page_navigation_bindings
from prompt_toolkit.key_binding.defaults import load_key_bindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.layout import (
    AnyContainer,
    BufferControl,
    CompletionsMenu,
    ConditionalContainer,
    Container,
    Dimension,
    DynamicContainer,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    MultiColumnCompletionsMenu,
    ScrollOffsets,
    VSplit,
    Window,
    to_container,
)
from prompt_toolkit.layout.processors import (
    AppendAutoSuggestion,
    ConditionalProcessor,
    DisplayMultipleCursors,
    HighlightIncrementalSearchProcessor,
    HighlightMatchingBracketProcessor,
    HighlightSelectionProcessor,
    Processor,
    TabsProcessor,
)
from prompt_toolkit.lexers import DynamicLexer, Lexer, PygmentsLexer, SimpleLexer
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.styles import BaseStyle, DummyStyle, DynamicStyle, Style, default_ui_style, merge_styles
from prompt_toolkit.styles.pygments import style_from_pygments_cls
from prompt_toolkit.validation import Validator
from prompt_toolkit.widgets.toolbars import ArgToolbar, CompletionsToolbar, SearchToolbar, ValidationToolbar
from pygments.lexers.python import PythonLexer  # type: ignore[import-untyped]  # it ships no types
from pygments.styles import STYLE_MAP, get_style_by_name  # type: ignore[import-untyped]

from .lexers import postponed

with postponed("BashLexer", "RstLexer"):
    from ptpython import layout as ptpython_layout
    from ptpython import python_input
    from ptpython.key_bindings import auto_newline, load_sidebar_bindings, tab_should_insert_whitespace
    from ptpython.layout import CompletionVisualisation, PtPythonLayout, PythonPromptMargin
    from ptpython.lexer import PtpythonLexer
    from ptpython.prompt_style import PromptStyle
    from ptpython.python_input import OptionCategory, PythonInput
    from ptpython.style import default_ansi_code_style, generate_style, get_all_ui_styles, win32_code_style
    from ptpython.utils import document_is_multiline_python, unindent_code

MAX_TYPED = 64 * 1024
"""Characters in one input."""

MANY_NAMES = 2000
"""With more names than this in scope, completion waits for Tab."""

WITHOUT_EFFECT = frozenset(
    {
        "Dictionary completion",
        "Confirm on exit",
        "Blank line after input",
        "Blank line after output",
        "Show signature",
        "Show docstring",
        "Show status bar",
        "Reformat output (black)",
        "Enable pager for output",
    }
)
"""Options of ptpython's that a console does not have: they are left out of its menu."""


# -- what all sessions have in common


class CodeStyles(dict[str, BaseStyle]):
    """The colour schemes of Pygments by name, each made when somebody asks for it."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(STYLE_MAP, DummyStyle()))
        self._made: dict[str, BaseStyle] = {
            "win32": Style.from_dict(win32_code_style),
            "default-ansi": Style.from_dict(default_ansi_code_style),
        }
        self.update(self._made)

    def __getitem__(self, name: str) -> BaseStyle:
        if name not in self._made:
            self._made[name] = style_from_pygments_cls(get_style_by_name(name))
        return self._made[name]


code_styles = functools.cache(CodeStyles)
ui_styles = functools.cache(get_all_ui_styles)
python_lexer = functools.cache(functools.partial(PygmentsLexer, PythonLexer))
plain_lexer = functools.cache(SimpleLexer)
no_keys = functools.cache(KeyBindings)
no_docstring = functools.cache(functools.partial(Buffer, read_only=True))
nothing = functools.cache(functools.partial(ConditionalContainer, Window(), filter=False))
editing_height = Dimension(min=6)


@functools.cache
def code_look(code: str, ui: str) -> BaseStyle:
    """The colours of ptpython, of these two schemes."""
    return generate_style(code_styles()[code], ui_styles()[ui])


@functools.cache
def look(code: str, ui: str) -> BaseStyle:
    """The colours of a whole screen."""
    return merge_styles([default_ui_style(), code_look(code, ui)])


def line() -> "LineEditor":
    """The line whose key was pressed, or that is being drawn."""
    app = get_app()
    assert isinstance(app, LineApplication), "asked for while another application has the screen"
    return app.line


@Condition
def in_menu() -> bool:
    return line().show_sidebar


@Condition
def several_lines() -> bool:
    return document_is_multiline_python(line().default_buffer.document)


@Condition
def nothing_typed() -> bool:
    return not get_app().current_buffer.text


@Condition
def enter_makes_a_line() -> bool:
    """Whether to say which key sends what was typed."""
    editor = line()
    document = editor.default_buffer.document
    wanted = editor.show_meta_enter_message and "\n" in document.text
    return wanted and (not document.is_cursor_at_the_end or editor.accept_input_on_enter is None)


at_the_line = has_focus(DEFAULT_BUFFER)
hinted = ~is_done & at_the_line & enter_makes_a_line
writing = ~in_menu & ~has_selection & (vi_insert_mode | emacs_insert_mode) & at_the_line


def room() -> Dimension | None:
    """Lines that are kept free below the prompt, for the completions, while somebody writes."""
    return None if get_app().is_done else editing_height


@functools.cache
def keys() -> KeyBindingsBase:
    """What keys do beside prompt_toolkit's own, in all sessions."""
    bindings = KeyBindings()
    on = bindings.add
    on("c-w")(get_by_name("backward-kill-word"))
    on("c-l")(get_by_name("clear-screen"))
    on("c-z")(_nothing)
    on("f2")(_toggle_menu)
    on("f3")(_browse)
    on("f4")(_toggle_vi)
    on("f6")(_toggle_paste)
    on("tab", filter=~in_menu & ~has_selection & tab_should_insert_whitespace)(_indent)
    on("enter", filter=writing & ~several_lines)(_accept)
    on("enter", filter=writing & several_lines)(_new_line)
    on("escape", "enter", filter=~in_menu & emacs_mode)(_accept)
    on("c-d", filter=~in_menu & at_the_line & nothing_typed)(_leave)
    on("c-c", filter=at_the_line)(_give_up)
    return merge_key_bindings([bindings, load_auto_suggest_bindings()])


def _nothing(event: KeyPressEvent) -> None:
    """Ctrl-Z would suspend the server."""


def _toggle_menu(event: KeyPressEvent) -> None:  # noqa: ARG001 - the interface
    line().toggle_menu()


def _browse(event: KeyPressEvent) -> None:  # noqa: ARG001 - the interface
    line().enter_history()


def _toggle_vi(event: KeyPressEvent) -> None:  # noqa: ARG001 - the interface
    line().vi_mode = not line().vi_mode


def _toggle_paste(event: KeyPressEvent) -> None:  # noqa: ARG001 - the interface
    line().paste_mode = not line().paste_mode


def _indent(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("    ")


def _accept(event: KeyPressEvent) -> None:
    buffer = event.current_buffer
    if buffer.validate():
        text = buffer.text.rstrip()
        buffer.document = Document(text, len(text))
        buffer.validate_and_handle()


def _new_line(event: KeyPressEvent) -> None:
    """One more line, or the end: after an empty one."""
    buffer = event.current_buffer
    editor = line()
    if editor.paste_mode:
        buffer.insert_text("\n")
        return
    after = buffer.document.text_after_cursor
    at_the_end = not after or (after.isspace() and "\n" not in after)
    empty_before = "\n" * ((editor.accept_input_on_enter or MAX_TYPED) - 1)
    if at_the_end and buffer.text.replace(" ", "").endswith(empty_before):
        _accept(event)
        return
    waiting = event.app.key_processor.input_queue
    if waiting and waiting[0].data in {" ", "\t"}:
        editor.indented = True
    if waiting and editor.indented:
        buffer.insert_text("\n")
    else:
        auto_newline(buffer)


def _leave(event: KeyPressEvent) -> None:
    event.app.exit(exception=EOFError)


def _give_up(event: KeyPressEvent) -> None:
    event.app.exit(exception=KeyboardInterrupt, style="class:aborting")


@functools.cache
def processors() -> list[Processor]:
    """How the input line is decorated."""
    return [
        ConditionalProcessor(HighlightIncrementalSearchProcessor(), is_searching),
        HighlightSelectionProcessor(),
        DisplayMultipleCursors(),
        TabsProcessor(),
        ConditionalProcessor(
            HighlightMatchingBracketProcessor(chars="[](){}"),
            at_the_line & ~is_done & Condition(lambda: line().highlight_matching_parenthesis),
        ),
        ConditionalProcessor(AppendAutoSuggestion(), ~is_done),
    ]


# -- what a session has for itself


class Later(DynamicContainer):
    """A part of the screen that is made when it is first to be seen."""

    def __init__(self, make: Callable[[], AnyContainer], wanted: Filter) -> None:
        super().__init__(self._content)
        self._make, self._wanted = make, wanted
        self._made: Container | None = None

    def _content(self) -> Container:
        if self._made is None and self._wanted():
            self._made = to_container(self._make())
        return self._made or nothing()


def _hint() -> Container:
    text = FormattedTextControl([("class:accept-message", " [Meta+Enter] Execute ")])
    return ConditionalContainer(Window(text), hinted)


class Prompt(PromptStyle):
    """`[3] >>> `: the number under which the value will be found, as `_3`."""

    def __init__(self, number: Callable[[], int]) -> None:
        self.number = number

    def in_prompt(self) -> AnyFormattedText:
        return [("class:prompt.dots", f"[{self.number()}] "), ("class:prompt", ">>> ")]

    def in2_prompt(self, width: int) -> AnyFormattedText:
        return [("class:prompt.dots", "... ".rjust(width))]

    def out_prompt(self) -> AnyFormattedText:
        return []


class LineLayout(PtPythonLayout):
    """The windows of a line: the text, the completions, the search. ptpython's own also has the bars that a console never shows."""

    def __init__(self, editor: "LineEditor") -> None:
        self.editor = editor
        self._menus: dict[CompletionVisualisation, Container] = {}
        search = SearchToolbar(editor.search_buffer)
        text = Window(
            BufferControl(
                editor.default_buffer,
                search_buffer_control=search.control,
                lexer=DynamicLexer(lambda: python_lexer() if editor.enable_syntax_highlighting else plain_lexer()),
                include_default_input_processors=False,
                input_processors=processors(),
                preview_search=True,
            ),
            left_margins=[PythonPromptMargin(editor)],
            scroll_offsets=ScrollOffsets(bottom=1, left=4, right=4),  # below: so that the hint covers nothing
            height=room,
            wrap_lines=Condition(lambda: editor.wrap_lines),
        )
        self._floating = FloatContainer(
            text,
            [
                Float(DynamicContainer(self._completions), xcursor=True, ycursor=True),
                Float(Later(_hint, hinted), bottom=0, right=0, height=1),
            ],
        )
        bars: list[AnyContainer] = [Later(ArgToolbar, has_arg), search, Later(ValidationToolbar, has_validation_error)]
        self._columns = VSplit([HSplit([self._floating, *bars])])
        self.layout = Layout(self._columns)

    def _completions(self) -> Container:
        """The completions in the form that the person likes."""
        form = self.editor.completion_visualisation
        if not self._menus and not has_completions():
            return nothing()
        if form not in self._menus:
            self._menus[form] = self._menu(form)
        return self._menus[form]

    def _menu(self, form: CompletionVisualisation) -> Container:
        match form:
            case CompletionVisualisation.POP_UP:
                return CompletionsMenu(max_height=12, scroll_offset=1)
            case CompletionVisualisation.MULTI_COLUMN:
                # A filter of its own: those that all share would remember what it is combined with for ever.
                return MultiColumnCompletionsMenu(extra_filter=Condition(lambda: True))
            case CompletionVisualisation.TOOLBAR:
                return CompletionsToolbar().container
            case _:
                return Window()

    def add_menu(self) -> Window:
        """Make ptpython's options, beside the text."""
        self.sidebar = ptpython_layout.python_sidebar(self.editor)
        navigation = ptpython_layout.python_sidebar_navigation(self.editor)
        bar = HSplit([self.sidebar, Window(style="class:sidebar,separator", height=1), navigation])
        self._columns.children.append(ConditionalContainer(bar, in_menu & ~is_done))
        explained = ptpython_layout.python_sidebar_help(self.editor)
        self._floating.floats.append(Float(explained, bottom=1, left=1, right=0))
        return self.sidebar


class LineApplication(Application[str]):
    """One that draws with the shared looks, and obeys the shared keys."""

    def __init__(self, editor: "LineEditor", input: Input | None, output: Output | None) -> None:
        self.line = editor
        super().__init__(
            layout=editor.ptpython_layout.layout,
            key_bindings=keys(),
            color_depth=lambda: editor.color_depth,
            paste_mode=Condition(lambda: editor.paste_mode),
            mouse_support=Condition(lambda: editor.enable_mouse_support),
            style_transformation=editor.style_transformation,
            reverse_vi_search_direction=True,
            cursor=DynamicCursorShapeConfig(lambda: editor.all_cursor_shape_configs[editor.cursor_shape_config]),
            # We are told of a new size; asking for it twice a second would wake the process for nothing.
            terminal_size_polling_interval=None,
            input=input,
            output=output,
        )
        self.ttimeoutlen = 0.1
        self._page_navigation_bindings = no_keys()  # they are for full screens, and would be copied for each session

    def _create_merged_style(self, include_default_pygments_style: Filter) -> BaseStyle:  # noqa: ARG002 - the interface
        return DynamicStyle(lambda: look(*self.line.schemes))


class LineEditor(PythonInput):
    """ptpython's input line, kept from doing anything on the server by itself.

    Args:
        names: the person's own, by which it is decided whether completion waits for Tab.
        number: of the statement that will be typed; it stands in the prompt.
    """

    def __init__(
        self,
        names: dict[str, Any],
        keys: Input,
        output: Output,
        *,
        number: Callable[[], int],
        history: History | None = None,
        completer: Completer | None = None,
        validator: Validator | None = None,
        color_depth: ColorDepth = ColorDepth.DEPTH_8_BIT,
    ) -> None:
        self.accepted = False
        self.indented = False
        """The text was pasted by a terminal that does not say so, and brings its own indentation."""
        super().__init__(
            get_globals=lambda: names,
            input=keys,
            output=output,
            color_depth=color_depth,
            _completer=completer,
            _validator=validator,
            _lexer=python_lexer(),
        )
        self.docstring_buffer = no_docstring()
        if history is not None:
            self.history = self.default_buffer.history = history
        self.confirm_exit = self.show_status_bar = False
        self.enable_open_in_editor = self.enable_system_bindings = False
        self.complete_while_typing = len(names) < MANY_NAMES
        self.all_prompt_styles["midair"] = Prompt(number)
        self.prompt_style = "midair"

    @property
    def schemes(self) -> tuple[str, str]:
        """The colour schemes of the code and of the rest."""
        return self._current_code_style_name, self._current_ui_style_name

    def toggle_menu(self) -> None:
        """Show ptpython's options, or hide them."""
        layout = self.ptpython_layout
        assert isinstance(layout, LineLayout)
        self.show_sidebar = not self.show_sidebar
        if not self.show_sidebar:
            self.app.layout.focus_last()
            return
        if not self.options:
            self.options = self._options()
            self.app.key_bindings = merge_key_bindings([keys(), load_sidebar_bindings(self)])
            layout.add_menu()
        self.app.layout.focus(layout.sidebar)

    def _options(self) -> list[OptionCategory[Any]]:
        made = super()._create_options()
        for category in made:
            category.options = [option for option in category.options if option.title not in WITHOUT_EFFECT]
        return made

    def _create_options(self) -> list[OptionCategory[Any]]:
        return []  # until somebody asks for them

    def _create_application(self, input: Input | None, output: Output | None) -> Application[str]:
        return LineApplication(self, input, output)

    def _generate_style(self) -> BaseStyle:
        return code_look(*self.schemes)

    def _accept_handler(self, buff: Buffer) -> bool:
        self.accepted = True
        return super()._accept_handler(buff)

    def _on_input_timeout(self, buff: Buffer) -> None:  # noqa: ARG002 - the interface
        # ptpython would ask jedi for signatures at each key: costly, and jedi looks into live objects.
        return

    def text(self, accepted: str) -> str:
        """What was typed, without an indentation that all of its lines have."""
        return unindent_code(accepted)

    def get_compiler_flags(self) -> int:
        return ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def _layout_of(editor: PythonInput, **options: Any) -> PtPythonLayout:
    return LineLayout(editor) if isinstance(editor, LineEditor) else PtPythonLayout(editor, **options)


def _lexer_of(lexer: Lexer | None = None) -> Lexer:
    return lexer if lexer is not None and lexer is python_lexer() else PtpythonLexer(lexer)


# Where ptpython and prompt_toolkit look for what they would make anew each time. An application that uses them itself is served as ever.
for module, name, shared in (
    (python_input, "PtPythonLayout", _layout_of),
    (python_input, "PtpythonLexer", _lexer_of),
    (python_input, "get_all_code_styles", code_styles),
    (python_input, "get_all_ui_styles", ui_styles),
    (application, "load_key_bindings", functools.cache(load_key_bindings)),
    (application, "load_page_navigation_bindings", functools.cache(load_page_navigation_bindings)),
):
    setattr(module, name, shared)
