"""The paper's experiments over a whole data set: categories × variants, and the tables made of them."""
