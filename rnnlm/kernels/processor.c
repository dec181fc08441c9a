/* Which instruction sets this processor and the operating system support.
 *
 * This file is compiled for any processor, unlike the others, so that it can be called before one
 * of their builds is chosen.
 */

/* Return a bit for each set, in the order of `SETS` in native.py. */
unsigned supported_sets(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    unsigned avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    unsigned avx512 = avx2 && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq");
    unsigned vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    unsigned bf16 = vnni && __builtin_cpu_supports("avx512bf16");
    return avx2 | avx512 << 1 | vnni << 2 | bf16 << 3;
#else
    return 0;
#endif
}
