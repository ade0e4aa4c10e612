"""What synthesised templates cost, idle and at a load, from a file of list prices. No account is asked."""
