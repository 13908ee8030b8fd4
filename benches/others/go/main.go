// The workloads of the table "Other languages", in Go. Prints a line for each: its name, and nanoseconds for one operation (bytes, for
// memory), the median of so many rounds as the first argument says. The second is how many threads run Go code.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const roundTime = 200 * time.Millisecond

// Repeats a batch for the time of a round; it says how many operations it has done.
func each(rounds int, batch func() int) float64 {
	batch()
	times := make([]float64, rounds)
	for round := range times {
		start := time.Now()
		ops := 0
		for ops == 0 || time.Since(start) < roundTime {
			ops += batch()
		}
		times[round] = float64(time.Since(start).Nanoseconds()) / float64(ops)
	}
	return median(times)
}

func median(values []float64) float64 {
	sort.Float64s(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

func spawnMany() int {
	const tasks = 10000
	var joined sync.WaitGroup
	joined.Add(tasks)
	for i := 0; i < tasks; i++ {
		go joined.Done()
	}
	joined.Wait()
	return tasks
}

func spawnOne() int {
	const tasks = 10000
	for i := 0; i < tasks; i++ {
		done := make(chan struct{})
		go close(done)
		<-done
	}
	return tasks
}

func yields() int {
	const tasks, times = 200, 1000
	var joined sync.WaitGroup
	joined.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for j := 0; j < times; j++ {
				runtime.Gosched()
			}
			joined.Done()
		}()
	}
	joined.Wait()
	return tasks * times
}

func pingPong() int {
	const trips = 10000
	there, back := make(chan int, 1), make(chan int, 1)
	go func() {
		for value := range there {
			back <- value + 1
		}
		close(back)
	}()
	value := 0
	for i := 0; i < trips; i++ {
		there <- value
		value = <-back
	}
	close(there)
	<-back
	return value
}

// A wait with a limit that is never reached, around something that takes one turn through the scheduler.
func waitFor() int {
	const times = 10000
	for i := 0; i < times; i++ {
		done := make(chan struct{})
		go func() {
			runtime.Gosched()
			close(done)
		}()
		limit := time.NewTimer(time.Hour)
		select {
		case <-done:
			limit.Stop()
		case <-limit.C:
			panic("an hour has passed")
		}
	}
	return times
}

// CPU time of one sleep, spawning included.
func sleeps(rounds int) float64 {
	const tasks = 100000
	times := make([]float64, rounds)
	for round := range times {
		before := cpuTime()
		var joined sync.WaitGroup
		joined.Add(tasks)
		for i := 0; i < tasks; i++ {
			duration := time.Duration(1000+scramble(uint64(i))%49000) * time.Microsecond
			go func() {
				time.Sleep(duration)
				joined.Done()
			}()
		}
		joined.Wait()
		times[round] = float64(cpuTime()-before) / tasks
	}
	return median(times)
}

// The same numbers as the Rust workload has.
func scramble(index uint64) uint64 {
	mixed := (index + 1) * 0x9e3779b97f4a7c15
	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb
	return mixed ^ (mixed >> 31)
}

func millionSleeping() float64 {
	const tasks = 1000000
	debug.FreeOSMemory()
	before := status("VmRSS:")
	var asleep sync.WaitGroup
	asleep.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			asleep.Done()
			time.Sleep(time.Hour)
		}()
	}
	asleep.Wait()
	time.Sleep(time.Second)
	return float64(status("VmHWM:")-before) / tasks
}

// Of /proc/self/status, in bytes.
func status(key string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, key) {
			kilobytes, err := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			if err != nil {
				panic(err)
			}
			return kilobytes * 1024
		}
	}
	panic(key + " is not there")
}

func main() {
	rounds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	threads, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	runtime.GOMAXPROCS(threads)
	fmt.Println("language", strings.Replace(runtime.Version(), "go", "Go ", 1))
	fmt.Println("spawn-many", each(rounds, spawnMany))
	fmt.Println("spawn-one", each(rounds, spawnOne))
	fmt.Println("yield", each(rounds, yields))
	fmt.Println("ping-pong", each(rounds, pingPong))
	fmt.Println("wait-for", each(rounds, waitFor))
	fmt.Println("sleeps", sleeps(rounds))
	fmt.Println("sleeping", millionSleeping())
}
