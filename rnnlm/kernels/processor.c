/* Which instruction sets this processor and the operating system support.
 *
 * This file is compiled for any processor, unlike the others, so that it can be called before one
 * of their builds is chosen.
 */
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
/* From Linux's Documentation/arch/x86/xstate.rst. */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA 18

/* Return whether there are matrix registers with products of bytes, and whether Linux lets this
 * process use them, which it must ask for once. */
static unsigned may_use_amx(void) {
    unsigned a, b, c, d, both = 3u << 24; /* AMX-TILE and AMX-INT8 */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & both) != both) return 0;
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
/* Bits of the two words of capabilities, from Linux's arch/arm64/include/uapi/asm/hwcap.h. */
#define DOTPROD (1ul << 20)
#define I8MM (1ul << 13)
#define BF16 (1ul << 14)
#elif defined(__aarch64__) && defined(__APPLE__)
#include <stddef.h>
#include <sys/sysctl.h>

static unsigned has(const char *feature) {
    int value = 0;
    size_t size = sizeof value;
    return !sysctlbyname(feature, &value, &size, NULL, 0) && value;
}
#endif

/* Return a bit for each set, in the order of `SETS` in native.py. */
unsigned supported_sets(void) {
    unsigned avx2 = 0, avx512 = 0, vnni = 0, avx512_bf16 = 0, amx = 0, dotprod = 0, arm_bf16 = 0;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    avx512_bf16 = vnni && __builtin_cpu_supports("avx512bf16");
#if defined(__x86_64__) && defined(__linux__)
    amx = avx512_bf16 && may_use_amx();
#endif
#elif defined(__aarch64__) && defined(__linux__)
    unsigned long more = getauxval(AT_HWCAP2);
    dotprod = !!(getauxval(AT_HWCAP) & DOTPROD);
    arm_bf16 = dotprod && more & I8MM && more & BF16;
#elif defined(__aarch64__) && defined(__APPLE__)
    dotprod = has("hw.optional.arm.FEAT_DotProd");
    arm_bf16 = dotprod && has("hw.optional.arm.FEAT_I8MM") && has("hw.optional.arm.FEAT_BF16");
#endif
    return avx2 | avx512 << 1 | vnni << 2 | avx512_bf16 << 3 | amx << 4 | dotprod << 5 | arm_bf16 << 6;
}
