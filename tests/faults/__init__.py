"""What must hold whatever dies: crashes at every step, races, and a checker that reads the engines afterwards."""
