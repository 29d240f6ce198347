"""bfloat16 layers on CPUs with AVX512_BF16."""
