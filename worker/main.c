#include <stdio.h>

int main(void) { return puts("sluice-worker") < 0; }
