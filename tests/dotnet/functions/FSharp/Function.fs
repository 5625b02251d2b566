namespace Shop

open System
open System.Threading.Tasks
open Amazon.Lambda.Core
open Amazon.Lambda.Serialization.SystemTextJson

[<assembly: LambdaSerializer(typeof<DefaultLambdaJsonSerializer>)>]
do ()

type Order = { Item: string; Count: int }

type Receipt = { Text: string; Request: string }

exception OutOfStock of item: string

module private Work =
    let text order = $"{order.Count} x {order.Item}"

    let receipt order (context: ILambdaContext) =
        if order.Count > 100 then
            raise (OutOfStock order.Item)

        { Text = text order
          Request = context.AwsRequestId }

type Handlers() =
    let random = Random()

    do
        Console.WriteLine "constructed"

        SnapshotRestore.RegisterBeforeSnapshot(fun () ->
            random.Next() |> ignore
            Console.WriteLine "before"
            ValueTask.CompletedTask)

        // A hook that waits: `task` makes a Task, which a ValueTask holds.
        SnapshotRestore.RegisterAfterRestore(fun () ->
            ValueTask(
                task {
                    do! Task.Delay 1
                    Console.WriteLine "after"
                }
            ))

    member _.Member(order: Order, context: ILambdaContext) = Work.receipt order context

    static member Static(order: Order, context: ILambdaContext) = Work.receipt order context

    /// Curried, which is compiled to a method of two parameters.
    member _.Curried (order: Order) (context: ILambdaContext) = Work.receipt order context

    member _.Task(order: Order, context: ILambdaContext) : Task<Receipt> =
        task {
            do! Task.Yield()
            return Work.receipt order context
        }

    /// A Task without a result. `printfn` writes a text and the end of its line apart.
    member _.Unit(order: Order) : Task =
        task {
            do! Task.Yield()
            printfn "%s" (Work.text order)
        }

    /// Nobody waits for it: what is answered is not the receipt.
    member _.Async(order: Order, context: ILambdaContext) = async { return Work.receipt order context }

    member _.Value(order: Order) = ValueTask<string>(Work.text order)

    member _.Draws() = string (random.NextInt64())

module Functions =
    let handle (order: Order) (context: ILambdaContext) = Work.receipt order context

/// Has the name of a type, so that its module is compiled under another one.
type Till = { Sum: int }

module Till =
    let handle (order: Order) (context: ILambdaContext) = Work.receipt order context
