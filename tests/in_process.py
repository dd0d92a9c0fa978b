"""Notebooks in this very process: no kernel to start, nothing to load again, the words of every figure."""

import base64
import contextlib
import io
import sys
import warnings
from pathlib import Path
from weakref import WeakSet

import matplotlib.pyplot as plt
import nbformat
import papermill.execute
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib_inline import backend_inline
from nbformat.v4 import new_code_cell, new_output
from PIL import Image
from traitlets import Type
from traitlets.config import Config

RED = (UserWarning, RuntimeWarning, FutureWarning)  # what a kernel shows behind stderr


class _Hook(DisplayHook):
    """The value of a cell's last line goes where `display` goes."""

    def write_output_prompt(self) -> None:
        pass

    def finish_displayhook(self) -> None:
        pass

    def write_format_data(self, format_dict, md_dict=None) -> None:
        self.shell.display_pub.publish(format_dict)


class Shell(InteractiveShell):
    """IPython that keeps what cells display."""

    display_pub_class = Type(CapturingDisplayPublisher)
    displayhook_class = Type(_Hook)

    def showtraceback(self, *_, **__) -> None:
        """Whoever started it raises the error."""


def _dot() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


class InProcess:
    """In place of `papermill.execute_notebook`: the same notebook on disk, but for its pictures.

    A figure that a cell shows becomes a dot, and one that it saves has `dpi` (None: its own); `words` holds
    every text that was drawn in them. What cells print is printed here, too, and so is what a kernel would
    show in red, in `red`. Notebooks whose names start with one of `kernel` get a kernel all the same, which
    they share until `end`; one of `unread` is copied as if it had run and shown nothing.
    """

    def __init__(
        self,
        scratch: Path,
        kernel: tuple[str, ...] = (),
        unread: tuple[str, ...] = (),
        dpi: int | None = 40,
    ) -> None:
        self.scratch, self.kernel, self.unread = scratch, kernel, unread
        self.settings = {} if dpi is None else {"dpi": dpi}
        self.words, self.red = [], []
        self.drawn: WeakSet[Figure] = WeakSet()
        self.failed: AssertionError | None = None
        self.savefig, self.papermill = Figure.savefig, papermill.execute.execute_notebook
        self.manager = AsyncKernelManager(kernel_name="python3")

    def end(self) -> None:
        """End the kernel, if there was one."""
        if self.manager.has_kernel:
            run_sync(self.manager.shutdown_kernel)(now=True)

    def __call__(self, source, target, parameters, cwd=None, **options) -> None:
        if Path(source).name.startswith(self.unread):
            notebook = nbformat.read(source, 4)
            for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
                cell.execution_count = number
            nbformat.write(notebook, target)
            return
        if Path(source).name.startswith(self.kernel):
            self.papermill(source, target, parameters, cwd=cwd, km=self.manager, **options)
            return
        notebook = nbformat.read(source, 4)
        place = next(i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", []))
        lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(place + 1, new_code_cell(lines))
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        with self._shell(Path(cwd or Path(source).parent)) as shell:
            for number, cell in enumerate(cells, start=1):
                cell.execution_count = number
                cell.outputs = self._run(shell, cell.source, Path(source).stem)
        nbformat.write(notebook, target)

    @contextlib.contextmanager
    def _shell(self, cwd: Path):
        """A fresh IPython, and this process as it was afterwards."""
        main, hooks, backend = sys.modules["__main__"], (sys.displayhook, sys.excepthook), plt.get_backend()
        config = Config({"HistoryManager": {"enabled": False}})
        shell = Shell.instance(config=config, ipython_dir=str(self.scratch))
        shell.display_formatter.formatters["image/png"].for_type(Figure, self._shown)

        def saved(figure, *arguments, **settings):
            self.savefig(figure, *arguments, **settings | self.settings)
            self.drawn.add(figure)
            self._read(figure)

        try:
            with contextlib.chdir(cwd), plt.rc_context():
                plt.switch_backend(f"module://{backend_inline.__name__}")
                Figure.savefig = saved
                yield shell
        finally:
            Figure.savefig = self.savefig
            plt.close("all")
            plt.switch_backend(backend)
            Shell.clear_instance()
            shell.restore_sys_module_state()
            sys.modules["__main__"], (sys.displayhook, sys.excepthook) = main, hooks

    def _run(self, shell: Shell, code: str, name: str) -> list:
        out, err = io.StringIO(), io.StringIO()
        shell.display_pub.outputs.clear()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("ignore")
            for kind in RED:
                warnings.simplefilter("default", kind)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                result = shell.run_cell(code)
                if result.success:
                    backend_inline.show(True)
        red = err.getvalue() + "".join(f"{w.category.__name__}: {w.message}\n" for w in told)
        print(out.getvalue(), end="")
        if red:
            print(red, file=sys.stderr, end="")
            self.red.append((name, code.splitlines()[0], red))
        if not result.success:
            error = result.error_before_exec or result.error_in_exec
            self.failed = AssertionError(f"{name}: a cell failed with {error!r}:\n{code}")
            raise self.failed from error
        texts = [
            new_output("stream", name=n, text=t)
            for n, t in (("stdout", out.getvalue()), ("stderr", red))
            if t
        ]
        return texts + [new_output("display_data", data=_json(o["data"])) for o in shell.display_pub.outputs]

    def _shown(self, figure: Figure) -> bytes:
        if figure not in self.drawn:  # most were saved just before
            figure.draw_without_rendering()  # words of ticks are there from now on
            self._read(figure)
        return _dot()

    def _read(self, figure: Figure) -> None:
        self.words += [text.get_text() for text in figure.findobj(Text)]


def _json(data: dict) -> dict:
    return {
        kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in data.items()
    }
