"""A Cortex-M4 without an operating system: a cross compiler, start-up code, and QEMU's mps2-an386 board."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from spikeworks.deploy.c import Export

COMPILER = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
SIZE = "arm-none-eabi-size"
EMULATOR = "qemu-system-arm"

_LINK = """\
MEMORY { FLASH : ORIGIN = 0x00000000, LENGTH = 4M  RAM : ORIGIN = 0x20000000, LENGTH = 4M }
ENTRY(reset)
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .data : { *(.data*) } > RAM
    .bss : { *(.bss*) *(COMMON) } > RAM
}
"""

_MAIN = """\
#include "{name}.h"

/* What the host sees: calls of the semihosting interface. */
static void host(int call, const void *argument)
{{
    register int r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}}

static const float inputs[] = {{{inputs}}};
static {name}_state state;

static void show(float value)
{{
    union {{ float f; uint32_t i; }} bits = {{ value }};
    char text[10];
    for (int k = 0; k < 8; ++k) text[k] = "0123456789abcdef"[bits.i >> (28 - 4 * k) & 15];
    text[8] = '\\n';
    text[9] = 0;
    host(4, text);
}}

void reset(void);
void reset(void)
{{
    float output[{outputs}];
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20; /* switch the floating-point unit on */
    __asm__ volatile("dsb\\nisb");
    for (uint32_t run = 0; run < {runs}; ++run) {{
        {name}_reset(&state);
        for (uint32_t t = 0; t < {steps}; ++t) {{
            {name}_step(&state, inputs + (run * {steps} + t) * {width}, output);
            for (uint32_t i = 0; i < {outputs}; ++i) show(output[i]);
        }}
    }}
    host(0x18, (void *)0x20026);
    for (;;) {{}}
}}

__attribute__((section(".vectors"), used)) static void *const vectors[] = {{ (void *)0x20400000, (void *)reset }};
"""


def needs(*programs: str) -> None:
    """Skip where the cross tools are missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi "
                    "qemu-system-arm")  # fmt: skip


def build(made: Export, x: Tensor, folder: Path) -> Path:
    """An image that runs sequences ``x [runs, T, inputs]`` and prints every answer."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in made.files().items():
        (folder / file).write_text(text, encoding="utf-8")
    runs, steps, width = x.shape
    name = made.sources.name
    main = _MAIN.format(
        name=name, runs=runs, steps=steps, width=width, outputs=made.program.output.size,
        inputs=", ".join(f"{float(value).hex()}f" for value in x.flatten()),
    )  # fmt: skip
    (folder / "main.c").write_text(main)
    (folder / "board.ld").write_text(_LINK)
    image = folder / "image.elf"
    sources = [str(folder / file) for file in ("main.c", f"{name}.c")]
    options = ["-Os", "-std=c99", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostartfiles"]
    command = [*COMPILER, *options, "-T", str(folder / "board.ld"), "-o", str(image), *sources, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return image


def emulate(image: Path) -> Tensor:
    """The numbers that an image prints."""
    command = [EMULATOR, "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    words = [int(word, 16) for word in (done.stdout + done.stderr).split()]
    return torch.from_numpy(np.array(words, np.uint32).view(np.float32).copy())
