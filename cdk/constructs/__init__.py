"""What the stacks are composed of. Each construct owns one logical unit."""
