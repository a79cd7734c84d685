/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* In place of the kernel's, which points into tools/arch: that is not unpacked. x86-64 only, as the guest is. */
#pragma once
#define __BITS_PER_LONG 64
#define BITS_PER_LONG 64
