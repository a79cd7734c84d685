/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* In place of the kernel's, which points into tools/arch: that is not unpacked. */
#pragma once
#include <asm-generic/errno.h>
