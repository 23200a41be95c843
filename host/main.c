#include <stdio.h>

int main(void) {
    puts("derd");
    return 0;
}
