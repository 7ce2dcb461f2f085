/* Every state that can be reached, breadth first: the first violation that is found has the shortest story. */
#ifndef MODEL_EXPLORE_H
#define MODEL_EXPLORE_H

#include "world.h"

struct bounds {
    double seconds;  /* of processor time; 0: none */
    uint32_t states; /* 0: none */
    bool live;       /* look for states from which nothing but a fault leads on, too */
};

enum verdict { SAFE = 0, VIOLATED = 1, NO_MEMORY = 2, BOUNDED = 3 };

/* Prints what it finds: a line with the numbers, and the story of a violation. */
enum verdict explore(struct model *model, const struct bounds *bounds);

#endif
