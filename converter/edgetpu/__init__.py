"""What the Edge TPU and its compiler take: operator table, rules, verdict, and running the compiler."""
